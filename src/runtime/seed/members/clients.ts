import { clientRange, formatAddress, type Manifest, parseAddress, parseCidr } from '../../../contract/manifest';
import type { Directory } from '../locate/directory';

/** A client's place in the cluster, for as long as it is connected. */
export interface ClientLease {
  readonly name: string;
  readonly address: string;
  readonly nodeId: number;
  /** Gives the address back. */
  free(): void;
}

/** Virtual addresses and names for those that join by no declared name. */
export interface Clients {
  /** `wanted`: the address it had before its connection was lost. Undefined: the range is used up. */
  admit(wanted?: string): ClientLease | undefined;
}

export function clientPlaces(manifest: Manifest, directory: Directory): Clients {
  const { first, last } = clientRange(parseCidr(manifest.cluster.cidr)!);
  const taken = new Set<number>();
  // The address after the one given last: a freed address rests as long as possible, so that stale connections to it end.
  let next = first;
  const pick = (wanted: number | undefined) => {
    if (wanted !== undefined && wanted >= first && wanted <= last && !taken.has(wanted)) return wanted;
    for (let i = first; i <= last; i++) {
      const candidate = next;
      next = next === last ? first : next + 1;
      if (!taken.has(candidate)) return candidate;
    }
    return undefined;
  };
  return {
    admit: (wanted) => {
      const address = pick(wanted === undefined ? undefined : parseAddress(wanted));
      if (address === undefined) return undefined;
      taken.add(address);
      const index = address - first;
      let name = `client-${index}`;
      while (directory.find(name)) name = `${name}-x`;
      const nodeId = directory.entries.length + index;
      return { name, address: formatAddress(address), nodeId, free: () => taken.delete(address) };
    },
  };
}
