/** One invocation of a host that has joined, from event to event, to its result. */
import type { CommandReport, Invocation, InvocationResult } from '../../../contract/platform/invocation';
import type { Session } from '../../control/index';
import type { Mailbox } from '../../mailbox';
import type { GuestExit } from '../guest/guest';
import { type Busy, type Verdict, watchIdleness } from '../idle/idleness';
import { stop, untold } from './ending';
import type { HostRun } from './host-run';
import type { Log } from './log';

/** What ends an invocation, or may end it. */
export type Event =
  | { readonly is: 'idle'; readonly verdict: Verdict }
  | { readonly is: 'exited'; readonly exit: GuestExit }
  | { readonly is: 'stopped'; readonly reason: string; readonly fenced: boolean }
  /** Ordered by the seed, which waits for the `leave`. */
  | { readonly is: 'release'; readonly reason: string }
  /** It is time for `onDrain`, so that it is done by the deadline. */
  | { readonly is: 'drain' }
  | { readonly is: 'deadline' }
  | { readonly is: 'shutdown'; readonly reason: string };

export interface RunContext {
  readonly invocation: Invocation;
  readonly events: Mailbox<Event>;
  readonly session: Session;
  readonly host: HostRun;
  readonly log: Log;
  /** Milliseconds until this invocation has to begin to end. */
  readonly timeLeft: () => number;
  /** The end of the invocation. */
  readonly signal: AbortSignal;
}

/** The seed's own limit for suspending a host is 500 ms: a seed that is silent for so long is not there. */
const SUSPEND_LIMIT = 5_000;

/** Events that end the host, whatever the seed says. A guest that has ended is known at once: connections come to it. */
const ENDING: ReadonlySet<Event['is']> = new Set(['exited', 'stopped', 'release', 'shutdown']);

const NOT_NOW = { ok: false, reason: 'it ends meanwhile' } as const;

/** From joined to the end of the invocation. After `suspended` and `renew` the host still runs in the sandbox. */
export async function runInvocation(context: RunContext): Promise<InvocationResult> {
  const { events, session, host, log } = context;
  const renewal = scheduleDrain(context);
  watchIdle(context);
  for (;;) {
    const event = await events.take();
    switch (event.is) {
      case 'exited':
        await renewal.stop();
        return exited(context, event.exit);
      case 'stopped': {
        await renewal.stop();
        const { fenced, reason } = event;
        return stop(context, fenced ? fencedBy(reason) : { outcome: 'released', why: 'released', reason });
      }
      case 'release':
      case 'shutdown': {
        await renewal.stop();
        const { reason } = event;
        const why = event.is === 'release' ? 'released' : 'shutdown';
        const result = await stop(context, { outcome: 'released', why, reason });
        await session.leave({ outcome: 'released', reason });
        return result;
      }
      case 'drain':
        renewal.drain();
        break;
      case 'deadline': {
        const commands = await renewal.stop();
        log('info', "the function's time is nearly up: to be invoked again", {});
        return leaveAs('renew', context, commands);
      }
      case 'idle':
        // A host that is being drained is renewed at once: its command would be frozen with it.
        if (renewal.draining) break;
        if (await trySuspend(context)) {
          log('info', `idle for ${host.entry.idleTimeout} ms: suspended`, { lastHeldBy: event.verdict.heldBy });
          return leaveAs('suspended', context);
        }
        watchIdle(context);
        break;
      default:
        event satisfies never;
    }
  }
}

/** A newer epoch of the host is somewhere else, or will be. */
export function fencedBy(reason: string) {
  return { outcome: 'fenced', why: 'replaced', reason } as const;
}

interface Renewal {
  /** `onDrain` runs, or has run. */
  readonly draining: boolean;
  /** Runs it; then it is the deadline. The guests go on meanwhile. */
  drain(): void;
  /** Ends it, if it runs. @returns how it went, where the seed could not be told */
  stop(): Promise<readonly CommandReport[] | undefined>;
}

/** `onDrain` has ended this many milliseconds before the deadline. */
const DRAIN_LEAD = 100;

/** `drain` comes in time for a command that takes as long as it may, at half of the invocation's time at the earliest. */
function scheduleDrain({ host, events, session, timeLeft, signal }: RunContext): Renewal {
  const { onDrain, drainTimeout } = host.entry;
  const stopped = new AbortController();
  let reported: Promise<readonly CommandReport[] | undefined> | undefined;
  const left = timeLeft();
  const delay = left - Math.min(drainTimeout + DRAIN_LEAD, left / 2);
  if (onDrain && host.guest) schedule(delay, () => events.put({ is: 'drain' }), signal);
  return {
    get draining() {
      return reported !== undefined;
    },
    drain: () => {
      const limit = Math.floor(Math.min(drainTimeout, timeLeft() - DRAIN_LEAD));
      const run = host.command('onDrain', 'renewal', limit, stopped.signal);
      reported = run.then((report) => untold(session, report));
      void reported.then(() => events.put({ is: 'deadline' }));
    },
    stop: async () => {
      stopped.abort();
      return reported;
    },
  };
}

function watchIdle({ host, events, session, signal }: RunContext): void {
  const { idleTimeout, releasePolicy } = host.entry;
  if (host.ended || releasePolicy === 'never') return;
  const onIdle = (verdict: Verdict) => events.put({ is: 'idle', verdict });
  const onHeld = (by: Busy, what?: string) => session.held(by, what);
  watchIdleness({ idleTimeout, releasePolicy, look: (thorough) => host.look(thorough), onHeld, onIdle }, signal);
}

/**
 * The fence: the seed first takes the location back from every host that knows it, so that no host connects to a
 * sandbox that is frozen. What came in until then keeps the host running.
 */
async function trySuspend({ events, session, host, log, timeLeft }: RunContext): Promise<boolean> {
  const asking = new AbortController();
  const ending = events.holds(({ is }) => ENDING.has(is), asking.signal).then(() => NOT_NOW);
  const asked = session.suspend(Math.max(0, Math.min(SUSPEND_LIMIT, timeLeft())));
  const reply = await Promise.race([asked, ending]);
  asking.abort();
  if (!reply.ok) {
    log('info', `idle, but not suspended: ${reply.reason ?? 'the seed said no'}`);
    return false;
  }
  if (events.size > 0 || host.isBusy()) {
    session.stay();
    log('info', 'idle, but not suspended: something came in meanwhile');
    return false;
  }
  return true;
}

/** Leaves the cluster with guests that go on, or go on later. */
async function leaveAs(
  outcome: 'suspended' | 'renew',
  context: RunContext,
  commands?: readonly CommandReport[],
): Promise<InvocationResult> {
  const { invocation, session, host } = context;
  host.member.detach();
  await host.park(session, { outcome, wakeIn: outcome === 'suspended' ? host.nextDeadline() : undefined });
  return { host: invocation.host, epoch: invocation.epoch, outcome, commands };
}

async function exited({ invocation, session, host, log }: RunContext, exit: GuestExit): Promise<InvocationResult> {
  const { exitCode, signal, reason } = exit;
  log(exitCode === 0 ? 'info' : 'error', 'the guest has ended', { exitCode, signal, reason });
  await host.end(0);
  const why = reason ?? (signal ? `ended by ${signal}` : undefined);
  await session.leave({ outcome: 'exited', exitCode, reason: why });
  return { host: invocation.host, epoch: invocation.epoch, outcome: 'exited', exitCode, signal, reason };
}

/** Calls `act` after `delay` milliseconds, unless the signal is aborted first. */
export function schedule(delay: number, act: () => void, signal: AbortSignal): void {
  const timer = setTimeout(act, Math.max(0, delay));
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
}
