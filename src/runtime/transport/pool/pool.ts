/**
 * How many connections are kept ready for whom: as many as were needed at once of late. A guest that finds none makes its
 * peer's share grow, and so does one that is used up fast, as each message then pays for more connections; a share that is not
 * used shrinks by itself, as what is not used expires.
 */
import type { Other } from '../punched/punch';
import type { Punched } from '../punched/punched';

export interface PoolsOptions {
  /** Makes so many ready: see `Punched.fill`. */
  readonly fill: Punched['fill'];
  /** How many are ready for that peer, less the guests that wait for one; 0: how many for all of them. */
  readonly ready: (address: number) => number;
  /** Of all peers together: a function has 1,024 descriptors. */
  readonly most: number;
}

export interface Pools {
  /** A guest of this host was connected to that peer, and none was ready. */
  missed(peer: Other): void;
  /** Few are left. */
  used(address: number): void;
  /** One has ended unused. */
  lost(address: number): void;
  /** It is not where it was: nothing is kept for it any more. @returns whom it was kept for */
  drop(address: number): Other | undefined;
  clear(): void;
}

/** How long a ready connection is kept: well below what NATs keep a quiet one for (AWS's NAT gateway: 350 s). */
export const POOL_TTL = 30_000;
/** The side that waits for a header keeps its end longer, so that it never ends under one. */
export const POOL_TTL_PASSIVE = POOL_TTL + 10_000;
/** The share of a peer that was connected to once. */
const FIRST = 2;
const MOST_PER_PEER = 64;
/** A share that is refilled again within so many milliseconds is too small. */
const FAST = 250;
/** Punched at once: what one message can agree on. */
const BATCH = 64;

interface Share {
  readonly peer: Other;
  wanted: number;
  /** When it was refilled last. */
  filled: number;
  coming: number;
}

/** At so many it is refilled. */
const lowOf = ({ wanted }: Share) => Math.floor(wanted / 2);

export function createPools({ fill, ready, most }: PoolsOptions): Pools {
  const shares = new Map<number, Share>();
  /** To all peers. */
  let coming = 0;

  const leftOf = (share: Share) => ready(share.peer.address) + share.coming;
  const refill = (share: Share) => {
    const missing = share.wanted - leftOf(share);
    const count = Math.min(missing, BATCH, most - ready(0) - coming);
    if (count <= 0) return;
    share.coming += count;
    coming += count;
    share.filled = performance.now();
    const ended = (became: number) => {
      share.coming -= count;
      coming -= count;
      // What has failed is not tried again before a guest needs it.
      if (became > 0 && shares.get(share.peer.address) === share) used(share);
    };
    fill(share.peer, count, lowOf(share)).then(ended, () => ended(0));
  };
  const used = (share: Share) => {
    // Not one by one: a batch costs one message.
    if (leftOf(share) > lowOf(share)) return;
    if (performance.now() - share.filled < FAST) share.wanted = Math.min(share.wanted * 2, MOST_PER_PEER);
    refill(share);
  };

  return {
    missed: (peer) => {
      let share = shares.get(peer.address);
      // The same one, as what is coming is counted there.
      if (share?.peer.epoch === peer.epoch) {
        share.wanted = Math.min(share.wanted * 2, MOST_PER_PEER);
      } else {
        share = { peer, wanted: FIRST, filled: 0, coming: 0 };
        shares.set(peer.address, share);
      }
      refill(share);
    },
    used: (address) => {
      const share = shares.get(address);
      if (share) used(share);
    },
    lost: (address) => {
      const share = shares.get(address);
      if (!share) return;
      share.wanted = Math.max(FIRST, share.wanted - 1);
    },
    drop: (address) => {
      const share = shares.get(address);
      shares.delete(address);
      return share?.peer;
    },
    clear: () => shares.clear(),
  };
}
