import type { ManifestLimits } from '../../../contract/manifest';

/** What keeps a cluster from costing more than it should: how fast its functions are invoked for asks, and how many hosts run. */
export interface Limits {
  /**
   * Whether a host may be started for this asker now, while so many run already. If so, the start is counted; if not, nothing is.
   * @returns why not
   */
  take(asker: string, running: number): Excess | undefined;
  /**
   * Counts refused asks.
   * @returns how many are to be told now: all since the last time. Undefined: that was less than a second ago
   */
  refused(asker: string, asks: number): number | undefined;
}

/** The limit that was met, which is also the name of the prop. */
export interface Excess {
  readonly limit: keyof ManifestLimits;
  readonly allowed: number;
  readonly reason: string;
}

type PerMinute = Exclude<keyof ManifestLimits, 'maxRunningHosts'>;

const MINUTE = 60_000;
/** Of sums of shares of a minute, in milliseconds. */
const ROUNDING = 0.001;
const TOLD_EVERY = 1_000;
/** Askers of whom something is kept before those are forgotten of whom nothing need be kept. */
const FEW = 256;

/** @param clock milliseconds, from any start */
export function limits(allowed: ManifestLimits, clock: () => number): Limits {
  /** When the cluster's budget is whole again: at most a minute from now, of which each start takes its share. */
  let cluster = Number.NEGATIVE_INFINITY;
  /** The same of each member's, as long as it is not whole. */
  const members = new Map<string, number>();
  const told = new Map<string, { readonly at: number; asks: number }>();
  const forgetWhole = sweeper(members, (whole, now) => whole <= now);
  const forgetTold = sweeper(told, ({ at }, now) => now - at >= MINUTE);

  const perMinute = (limit: PerMinute, whom: string, whole: number, now: number): Excess | undefined => {
    const most = allowed[limit];
    const wait = whole - now - MINUTE;
    if (wait < ROUNDING) return undefined;
    const next = `the next in ${Math.ceil(wait / 1_000)} s`;
    return {
      limit,
      allowed: most,
      reason: `${whom} may start ${most} hosts a minute (${limit}); ${next}, or raise ${limit}`,
    };
  };

  return {
    take: (asker, running) => {
      const now = clock();
      const { maxRunningHosts, maxAllocationsPerMinute, maxAllocationsPerMinutePerMember } = allowed;
      const member = Math.max(now, members.get(asker) ?? now) + MINUTE / maxAllocationsPerMinutePerMember;
      const all = Math.max(now, cluster) + MINUTE / maxAllocationsPerMinute;
      const excess = perMinute('maxAllocationsPerMinutePerMember', `'${asker}'`, member, now);
      if (excess) return excess;
      if (running >= maxRunningHosts) {
        const many = `${running} hosts run, and ${maxRunningHosts} may (maxRunningHosts)`;
        const reason = `${many}; wait until one is suspended, or raise maxRunningHosts`;
        return { limit: 'maxRunningHosts', allowed: maxRunningHosts, reason };
      }
      const exhausted = perMinute('maxAllocationsPerMinute', 'the cluster', all, now);
      if (exhausted) return exhausted;
      cluster = all;
      members.set(asker, member);
      forgetWhole(now);
      return undefined;
    },
    refused: (asker, asks) => {
      const now = clock();
      const before = told.get(asker);
      if (before && now - before.at < TOLD_EVERY) {
        before.asks += asks;
        return undefined;
      }
      told.set(asker, { at: now, asks: 0 });
      forgetTold(now);
      return (before?.asks ?? 0) + asks;
    },
  };
}

/** Forgets what may be forgotten, each time that a map has doubled. */
function sweeper<T>(map: Map<string, T>, done: (value: T, now: number) => boolean): (now: number) => void {
  let limit = FEW;
  return (now) => {
    if (map.size <= limit) return;
    for (const [key, value] of map) if (done(value, now)) map.delete(key);
    limit = Math.max(FEW, 2 * map.size);
  };
}
