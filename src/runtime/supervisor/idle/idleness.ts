/**
 * When a host is idle: for `idleTimeout` its guests used no more than 5 % of one CPU, nobody waits for a connection
 * from or to it, and no connection is open (release policy `no-connections`) or none moved bytes (`no-traffic`). A host of policy `never` is not
 * watched.
 *
 * Time is counted by looks: a frozen sandbox, or a machine that stood still, did not idle in the meantime.
 */

import type { HeldBy } from '../../../contract/control/to-seed';
import type { ReleasePolicy } from '../../../contract/manifest/manifest';
import { spacing } from '../../spacing';
import { type Activity, CPU_THRESHOLD } from './activity';

export type Busy = HeldBy;

export interface Look extends Pick<Activity, 'cpu' | 'connections' | 'moved' | 'queued' | 'closed' | 'holders'> {
  /** Guests that wait for a connection to be set up. */
  readonly pending: number;
  /**
   * Whether datagrams went to or came from other hosts since the last look. UDP has no connections: this is all that
   * holds.
   */
  readonly datagrams?: boolean;
}

/** What keeps a host busy at this moment, apart from CPU use; undefined: nothing. */
export function busyNow(look: Look, policy: ReleasePolicy): Busy | undefined {
  if (look.pending > 0 || look.queued > 0) return 'waiting';
  if (look.datagrams) return 'traffic';
  if (policy === 'no-connections') return look.connections > 0 ? 'connections' : undefined;
  return look.moved ? 'traffic' : undefined;
}

export interface Verdict {
  readonly idle: boolean;
  /** What held the host last. */
  readonly heldBy: Busy;
}

/** @returns judge: takes a look and the time since the last one, in milliseconds */
export function createIdleness(idleTimeout: number, policy: ReleasePolicy): (look: Look, elapsed: number) => Verdict {
  /** Looks of the last `idleTimeout`, by awake time. */
  let window: Array<{ readonly at: number; readonly cpu: number }> = [];
  let awake = 0;
  let lastBusy = 0;
  let heldBy: Busy = 'starting';

  return (look, elapsed) => {
    awake += elapsed;
    const busy = busyNow(look, policy);
    if (busy) {
      lastBusy = awake;
      heldBy = busy;
    } else if (awake - lastBusy >= idleTimeout) {
      // It seems idle. Was there a connection so short that it fell between two looks?
      const closed = look.closed();
      if (closed !== undefined && awake - closed > lastBusy) {
        lastBusy = awake - closed;
        heldBy = policy === 'no-connections' ? 'connections' : 'traffic';
      }
    }
    window.push({ at: awake, cpu: look.cpu });
    window = window.filter(({ at }) => at > awake - idleTimeout);
    const cpu = window.reduce((sum, entry) => sum + entry.cpu, 0);
    const quiet = awake - lastBusy >= idleTimeout;
    if (cpu > idleTimeout * CPU_THRESHOLD) {
      // A busy stretch ends when the window has passed it; the last of it need not be sharp.
      if (quiet) heldBy = 'cpu';
      return { idle: false, heldBy };
    }
    return { idle: quiet, heldBy };
  };
}

export interface IdleWatchOptions {
  readonly idleTimeout: number;
  readonly releasePolicy: ReleasePolicy;
  /**
   * Takes a look. Called about ten times per `idleTimeout`, at least every two seconds unless looking is dear. A thorough
   * one decides; others may cost less.
   */
  readonly look: (thorough: boolean) => Look;
  /** Called with what holds the host, at most once a second, when that has changed. */
  readonly onHeld: (heldBy: Busy, what: string | undefined) => void;
  /** Called once; the watch is over then. */
  readonly onIdle: (verdict: Verdict) => void;
}

/** Milliseconds between two looks where they cost little, at the most. */
const LONGEST_INTERVAL = 2_000;
/** The same whatever they cost: that, or a tenth of `idleTimeout`. */
const LONGEST_DELAY = 1_000;
/** Looking may take this part of the time: what it leaves to the garbage collector takes about as much. */
const SHARE = 0.005;

/** Watches until the host is idle or the signal is aborted. */
export function watchIdleness(options: IdleWatchOptions, signal: AbortSignal): void {
  const interval = Math.min(LONGEST_INTERVAL, Math.max(20, options.idleTimeout / 10));
  const longest = Math.max(LONGEST_DELAY, options.idleTimeout / 10);
  const judge = createIdleness(options.idleTimeout, options.releasePolicy);
  let last = performance.now();
  let reported: { readonly heldBy?: Busy; readonly at: number } = { at: Number.NEGATIVE_INFINITY };
  const report = ({ heldBy }: Verdict, look: Look, now: number) => {
    if (heldBy === reported.heldBy || now - reported.at < 1_000) return;
    reported = { heldBy, at: now };
    const { connection, process } = look.holders();
    options.onHeld(heldBy, heldBy === 'cpu' ? process : heldBy === 'starting' ? undefined : connection);
  };
  const tick = () => {
    const start = performance.now();
    let look = options.look(false);
    let verdict = judge(look, Math.min(start - last, delay * 2));
    if (verdict.idle) {
      look = options.look(true);
      verdict = judge(look, 0);
    }
    report(verdict, look, start);
    last = start;
    if (signal.aborted) return;
    if (verdict.idle) return options.onIdle(verdict);
    // Where looking is dear (hundreds of processes, thousands of sockets), look less often.
    delay = space(performance.now() - start, interval, longest);
    timer = setTimeout(tick, delay);
  };
  const space = spacing(SHARE);
  let delay = interval;
  // Not at once: a host that has just been started or woken has better things to do.
  let timer = setTimeout(tick, interval);
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
}
