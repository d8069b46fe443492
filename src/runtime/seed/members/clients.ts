import { clientRange, formatAddress, type Manifest, parseAddress, parseCidr } from '../../../contract/manifest';
import type { Directory } from '../locate/directory';

/** Ends the name of a client that acts under the name of a host. */
export const UNDER_HOST = ' (client)';

/** A client's place in the cluster, for as long as it is connected. */
export interface ClientLease {
  readonly name: string;
  readonly address: string;
  readonly nodeId: number;
  /** Gives the address back. */
  free(): void;
}

/** Virtual addresses and names for clients. */
export class Clients {
  readonly #directory: Directory;
  readonly #first: number;
  readonly #last: number;
  readonly #taken = new Set<number>();
  /**
   * The address after the one given last: a freed address rests as long as possible, so that stale connections to it
   * end.
   */
  #next: number;

  constructor(manifest: Manifest, directory: Directory) {
    const { first, last } = clientRange(parseCidr(manifest.cluster.cidr)!);
    this.#directory = directory;
    this.#first = first;
    this.#last = last;
    this.#next = first;
  }

  /** `wanted`: the address it had before its connection was lost. Undefined: the range is used up. */
  admit(wanted?: string): ClientLease | undefined {
    const address = this.#pick(wanted === undefined ? undefined : parseAddress(wanted));
    if (address === undefined) return undefined;
    this.#taken.add(address);
    const index = address - this.#first;
    let name = `client-${index}`;
    while (this.#directory.find(name) ?? this.#directory.serviceOf(name)) name = `${name}-x`;
    const nodeId = this.#directory.entries.length + index;
    return { name, address: formatAddress(address), nodeId, free: () => this.#taken.delete(address) };
  }

  /** Whether a client may be called so. */
  isName(name: string): boolean {
    const [, own] = /^client-(\d{1,10})(?:-x)*$/.exec(name) ?? [];
    if (own !== undefined) return this.#first + Number(own) <= this.#last;
    return name.endsWith(UNDER_HOST) && this.#directory.find(name.slice(0, -UNDER_HOST.length)) !== undefined;
  }

  #pick(wanted: number | undefined): number | undefined {
    const [first, last] = [this.#first, this.#last];
    if (wanted !== undefined && wanted >= first && wanted <= last && !this.#taken.has(wanted)) return wanted;
    for (let i = first; i <= last; i++) {
      const candidate = this.#next;
      this.#next = candidate === last ? first : candidate + 1;
      if (!this.#taken.has(candidate)) return candidate;
    }
    return undefined;
  }
}
