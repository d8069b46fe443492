import type { ManifestLimits } from '../../../contract/manifest';

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
const REPORTED_EVERY = 1_000;
/** Members of which something is kept before those are forgotten of which nothing need be kept. */
const FEW = 256;

/** What keeps a cluster from costing more than it should: how fast hosts are started for locates, and how many run. */
export class Limits {
  readonly #allowed: ManifestLimits;
  readonly #clock: () => number;
  /** When the cluster's budget is whole again: at most a minute from now, of which each start takes its share. */
  #cluster = Number.NEGATIVE_INFINITY;
  /** The same of each member's, as long as it is not whole. */
  readonly #members = new Map<string, number>();
  /** Refused locates by member: when they were reported last, and how many came since. */
  readonly #refusals = new Map<string, { readonly at: number; locates: number }>();
  readonly #forgetWhole = sweeper(this.#members, (whole, now) => whole <= now);
  readonly #forgetReported = sweeper(this.#refusals, ({ at }, now) => now - at >= MINUTE);

  /** @param clock milliseconds, from any start */
  constructor(allowed: ManifestLimits, clock: () => number) {
    this.#allowed = allowed;
    this.#clock = clock;
  }

  /**
   * Whether a host may be started for this member now, while so many run already. If so, the start is counted; if not,
   * nothing is.
   * @param ahead nobody waits for it: a part of everything is left for connects
   * @returns why not
   */
  take(by: string, running: number, ahead = false): Excess | undefined {
    const now = this.#clock();
    const { maxRunningHosts, maxAllocationsPerMinute, maxAllocationsPerMinutePerMember } = this.#allowed;
    const member = Math.max(now, this.#members.get(by) ?? now) + MINUTE / maxAllocationsPerMinutePerMember;
    const all = Math.max(now, this.#cluster) + MINUTE / maxAllocationsPerMinute;
    const excess = this.#perMinute('maxAllocationsPerMinutePerMember', `'${by}'`, member, now, ahead);
    if (excess) return excess;
    if (ahead && running + left(maxRunningHosts) >= maxRunningHosts) return leaves('maxRunningHosts', maxRunningHosts);
    if (running >= maxRunningHosts) {
      const many = `${running} hosts run, and ${maxRunningHosts} may (maxRunningHosts)`;
      const reason = `${many}; wait until one is suspended, or raise maxRunningHosts`;
      return { limit: 'maxRunningHosts', allowed: maxRunningHosts, reason };
    }
    const exhausted = this.#perMinute('maxAllocationsPerMinute', 'the cluster', all, now, ahead);
    if (exhausted) return exhausted;
    this.#cluster = all;
    this.#members.set(by, member);
    this.#forgetWhole(now);
    return undefined;
  }

  /**
   * Counts refused locates.
   * @returns how many are to be reported now: all since the last time. Undefined: that was less than a second ago
   */
  refused(by: string, locates: number): number | undefined {
    const now = this.#clock();
    const before = this.#refusals.get(by);
    if (before && now - before.at < REPORTED_EVERY) {
      before.locates += locates;
      return undefined;
    }
    this.#refusals.set(by, { at: now, locates: 0 });
    this.#forgetReported(now);
    return (before?.locates ?? 0) + locates;
  }

  #perMinute(limit: PerMinute, whom: string, whole: number, now: number, ahead: boolean): Excess | undefined {
    const most = this.#allowed[limit];
    const wait = whole - now - MINUTE;
    if (wait < ROUNDING) {
      const spare = wait + (left(most) * MINUTE) / most < ROUNDING;
      return ahead && !spare ? leaves(limit, most) : undefined;
    }
    const next = `the next in ${Math.ceil(wait / 1_000)} s`;
    return {
      limit,
      allowed: most,
      reason: `${whom} may start ${most} hosts a minute (${limit}); ${next}, or raise ${limit}`,
    };
  }
}

/** What a prefetch leaves of a limit: connects find room for hosts that nobody has guessed. */
function left(most: number): number {
  return Math.ceil(most / 4);
}

function leaves(limit: keyof ManifestLimits, most: number): Excess {
  return {
    limit,
    allowed: most - left(most),
    reason: `a prefetch leaves ${left(most)} of ${most} (${limit}) for connects`,
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
