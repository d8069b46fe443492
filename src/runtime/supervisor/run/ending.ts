/** How a host ends in its sandbox: its command, SIGTERM, SIGKILL, all within the time that the invocation still has. */
import type { CommandReport, InvocationResult } from '../../../contract/platform/invocation';
import type { Session } from '../../control/index';
import type { HostRun } from './host-run';
import type { RunContext } from './invocation';

/** When the platform shuts the sandbox down it does not wait long: milliseconds for `onDrain`, and after SIGTERM. */
const SHUTDOWN = { command: 1_000, grace: 300 };

/** The host's end, as the seed and the host's commands see it. */
export interface End {
  readonly outcome: 'fenced' | 'released';
  readonly why: Exclude<CommandReport['why'], 'renewal'>;
  /** For people. */
  readonly reason: string;
}

export interface Ending extends Pick<RunContext, 'invocation' | 'log' | 'timeLeft'> {
  /** Undefined: none runs in the sandbox. */
  readonly host: HostRun | undefined;
  /** How the command went is reported through it, where it is there and connected; else with the result. */
  readonly session?: Session;
}

/** Ends the host that runs in the sandbox, if one does. */
export async function stop(
  { host, invocation, log, timeLeft, session }: Ending,
  { outcome, why, reason }: End,
): Promise<InvocationResult> {
  log('info', `stopping: ${reason}`, { outcome });
  const report = host && (await endGuests(host, why, timeLeft));
  const commands = untold(session, report);
  return { host: invocation.host, epoch: invocation.epoch, outcome, reason, commands };
}

/** @returns how the host's command went, if it has one for this */
export async function endGuests(
  host: HostRun,
  why: End['why'],
  timeLeft: () => number,
): Promise<CommandReport | undefined> {
  const { drainTimeout, stopTimeout } = host.entry;
  const short = why === 'shutdown';
  const command = short ? SHUTDOWN.command : drainTimeout;
  const grace = short ? Math.min(SHUTDOWN.grace, stopTimeout) : stopTimeout;
  // The guests get what the command leaves, and at least half.
  const left = timeLeft();
  const limit = Math.floor(Math.min(command, Math.max(left - grace, left / 2)));
  const report = await host.command(why === 'released' ? 'onRelease' : 'onDrain', why, limit);
  await host.end(Math.min(grace, Math.max(0, timeLeft())));
  return report;
}

/** Reports how a command went. @returns what has to go with the result, as nobody could be told */
export function untold(session: Session | undefined, report: CommandReport | undefined): CommandReport[] | undefined {
  if (!report) return undefined;
  if (!session?.connected) return [report];
  session.report(report.reason === undefined ? 'command-done' : 'command-failed', { ...report });
  return undefined;
}
