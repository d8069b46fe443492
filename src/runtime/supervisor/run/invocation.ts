/** One invocation of a host that has joined, from event to event, to its result. */
import type { Invocation, InvocationResult } from '../../../contract/platform/invocation';
import type { Session } from '../../control/index';
import type { Mailbox } from '../../mailbox';
import type { GuestExit } from '../guest/guest';
import { type Busy, type Verdict, watchIdleness } from '../idle/idleness';
import type { HostRun } from './host-run';
import type { Log } from './log';

/** What ends an invocation, or may end it. */
export type Event =
  | { readonly is: 'idle'; readonly verdict: Verdict }
  | { readonly is: 'exited'; readonly exit: GuestExit }
  | { readonly is: 'stopped'; readonly reason: string; readonly fenced: boolean }
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

/** Milliseconds between SIGTERM and SIGKILL. */
export const GRACE = 2_000;
/** The same when the platform shuts the sandbox down: it does not wait long. */
export const SHUTDOWN_GRACE = 300;
/** The seed's own limit for suspending a host is 500 ms: a seed that is silent for so long is not there. */
const SUSPEND_LIMIT = 5_000;

/** From joined to the end of the invocation. After `suspended` and `renew` the host still runs in the sandbox. */
export async function runInvocation(context: RunContext): Promise<InvocationResult> {
  const { events, session, host, log } = context;
  watchIdle(context);
  for (;;) {
    const event = await events.take();
    switch (event.is) {
      case 'exited':
        return exited(context, event.exit);
      case 'stopped':
        return stop(context, event.fenced ? 'fenced' : 'released', event.reason, GRACE);
      case 'shutdown': {
        const result = await stop(context, 'released', event.reason, SHUTDOWN_GRACE);
        await session.leave({ outcome: 'released', reason: event.reason });
        return result;
      }
      case 'deadline':
        log('info', "the function's time is nearly up: to be invoked again", {});
        return leaveAs('renew', context);
      case 'idle':
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

function watchIdle({ host, events, session, signal }: RunContext): void {
  const { idleTimeout, releasePolicy } = host.entry;
  if (!host.guest || releasePolicy === 'never') return;
  const onIdle = (verdict: Verdict) => events.put({ is: 'idle', verdict });
  const onHeld = (by: Busy, what?: string) => session.held(by, what);
  watchIdleness({ idleTimeout, releasePolicy, look: () => host.look(), onHeld, onIdle }, signal);
}

/**
 * The fence: the seed first takes the location back from every host that knows it, so that no host connects to a
 * sandbox that is frozen. What came in until then keeps the host running.
 */
async function trySuspend({ events, session, host, log, timeLeft }: RunContext): Promise<boolean> {
  const reply = await session.suspend(Math.max(0, Math.min(SUSPEND_LIMIT, timeLeft())));
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
async function leaveAs(outcome: 'suspended' | 'renew', context: RunContext): Promise<InvocationResult> {
  const { invocation, session, host } = context;
  host.member.detach();
  await session.leave({ outcome, wakeIn: outcome === 'suspended' ? host.nextDeadline() : undefined });
  return { host: invocation.host, epoch: invocation.epoch, outcome };
}

async function exited({ invocation, session, host, log }: RunContext, exit: GuestExit): Promise<InvocationResult> {
  const { exitCode, signal, reason } = exit;
  log(exitCode === 0 ? 'info' : 'error', 'the guest has ended', { exitCode, signal, reason });
  await host.end(0);
  const why = reason ?? (signal ? `ended by ${signal}` : undefined);
  await session.leave({ outcome: 'exited', exitCode, reason: why });
  return { host: invocation.host, epoch: invocation.epoch, outcome: 'exited', exitCode, signal, reason };
}

/** Stops the host that runs in the sandbox, if one does. */
export async function stop(
  { host, invocation, log }: Pick<RunContext, 'invocation' | 'log'> & { readonly host?: HostRun },
  outcome: 'fenced' | 'released',
  reason: string,
  grace: number,
): Promise<InvocationResult> {
  log('info', `stopping: ${reason}`, { outcome });
  await host?.end(grace);
  return { host: invocation.host, epoch: invocation.epoch, outcome, reason };
}

/** Calls `act` after `delay` milliseconds, unless the signal is aborted first. */
export function schedule(delay: number, act: () => void, signal: AbortSignal): void {
  const timer = setTimeout(act, Math.max(0, delay));
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
}
