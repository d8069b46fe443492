/**
 * How many connections are kept ready for which peer: as many as were needed at once of late. A guest that finds none
 * makes its peer's share grow, and so does a share that is used up fast, as each message then pays for more
 * connections. A share that is not used shrinks by itself, as unused connections expire.
 */
import type { PeerMember } from '../peer-member';
import type { Punched } from '../punched/punched';

export interface PoolsOptions {
  /** Makes so many ready: see `Punched.fill`. */
  readonly fill: Punched['fill'];
  /** How many are ready for that peer, less the guests that wait for one; 0: how many for all of them. */
  readonly ready: (address: number) => number;
  /** Of all peers together: a function has 1,024 descriptors. */
  readonly most: number;
}

/** The share of a peer that was connected to once. */
const FIRST = 2;
const MOST_PER_PEER = 64;
/** A share that is refilled again within so many milliseconds is too small. */
const FAST = 250;
/** Punched at once: as many as one message can agree on. */
const BATCH = 64;

interface Share {
  readonly peer: PeerMember;
  wanted: number;
  /** When it was refilled last. */
  filled: number;
  coming: number;
}

/** At so many it is refilled. */
const lowOf = ({ wanted }: Share) => Math.floor(wanted / 2);
const grow = (share: Share) => {
  share.wanted = Math.min(share.wanted * 2, MOST_PER_PEER);
};

export class Pools {
  /** By virtual address. */
  readonly #shares = new Map<number, Share>();
  /** To all peers. */
  #coming = 0;

  constructor(private readonly options: PoolsOptions) {}

  /** A guest of this host was connected to that peer, and none was ready. */
  missed(peer: PeerMember): void {
    let share = this.#shares.get(peer.address);
    // The same record, as it counts the connections that are coming.
    if (share?.peer.epoch === peer.epoch) {
      grow(share);
    } else {
      share = { peer, wanted: FIRST, filled: 0, coming: 0 };
      this.#shares.set(peer.address, share);
    }
    this.#refill(share);
  }

  /** Few connections to that peer are left. */
  used(address: number): void {
    const share = this.#shares.get(address);
    // Not one by one: a batch costs one message.
    if (!share || this.#left(share) > lowOf(share)) return;
    if (performance.now() - share.filled < FAST) grow(share);
    this.#refill(share);
  }

  /** A connection has ended unused. */
  lost(address: number): void {
    const share = this.#shares.get(address);
    if (share) share.wanted = Math.max(FIRST, share.wanted - 1);
  }

  /** That peer is not where it was: nothing is kept for it any more. */
  drop(address: number): void {
    this.#shares.delete(address);
  }

  clear(): void {
    this.#shares.clear();
  }

  #left({ peer, coming }: Share): number {
    return this.options.ready(peer.address) + coming;
  }

  #refill(share: Share): void {
    const { fill, ready, most } = this.options;
    const { peer } = share;
    const count = Math.min(share.wanted - this.#left(share), BATCH, most - ready(0) - this.#coming);
    if (count <= 0) return;
    share.coming += count;
    this.#coming += count;
    share.filled = performance.now();
    const ended = (became: number) => {
      share.coming -= count;
      this.#coming -= count;
      // After a failure the next try waits for a guest that needs a connection.
      if (became > 0 && this.#shares.get(peer.address) === share) this.used(peer.address);
    };
    fill(peer, count, lowOf(share)).then(ended, () => ended(0));
  }
}
