/**
 * When connections to a peer begin to be kept ready: with the second connection to it, or some time after the first one. To make them
 * ready is as much work for either side as several connects, and the request that the first connection was made for may wait
 * for further hosts: it comes first. A guest that ends with its first connection costs nothing of it.
 */
import type { PeerMember } from '../peer-member';

/** Milliseconds after the first connection: the request that it was made for has an answer by then, in most cases. */
export const FIRST_REQUEST = 500;

interface Regular {
  readonly epoch: number;
  /** Undefined: the time has passed. */
  wait: NodeJS.Timeout | undefined;
}

export class Regulars {
  /** By virtual address. */
  readonly #regulars = new Map<number, Regular>();

  /** @param keepReady called again with each connection of a guest that is not the first one */
  constructor(private readonly keepReady: (peer: PeerMember) => void) {}

  /** A guest was connected to that peer, and nothing was ready for it. */
  connected(peer: PeerMember): void {
    const { address, epoch } = peer;
    const before = this.#regulars.get(address);
    clearTimeout(before?.wait);
    if (before?.epoch === epoch) {
      before.wait = undefined;
      this.keepReady(peer);
      return;
    }
    const regular: Regular = { epoch, wait: undefined };
    const begin = () => {
      regular.wait = undefined;
      this.keepReady(peer);
    };
    regular.wait = setTimeout(begin, FIRST_REQUEST).unref();
    this.#regulars.set(address, regular);
  }

  /** That peer is not where it was. */
  drop(address: number): void {
    clearTimeout(this.#regulars.get(address)?.wait);
    this.#regulars.delete(address);
  }

  clear(): void {
    for (const address of [...this.#regulars.keys()]) this.drop(address);
  }
}
