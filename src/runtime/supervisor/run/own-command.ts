/** The commands of a host that its end, or what may become its end, is a reason for: `onDrain` and `onRelease`. */
import type { CommandReport } from '../../../contract/platform/invocation';
import { type BesideCommand, runBeside } from '../guest/command';
import type { GuestPlace } from '../guest/guest';
import { forwardLines, type Log, type Write } from './log';

export interface OwnCommand extends Pick<CommandReport, 'command' | 'why'>, Pick<BesideCommand, 'timeout' | 'signal'> {
  readonly host: string;
  readonly line: readonly string[];
  readonly place: GuestPlace;
  readonly log: Log;
  readonly write: Write;
}

/** Tells the command why it runs. */
const REASON_ENV = 'IMAGINARY_REASON';

/** Its output goes to the host's log. Never rejects. */
export async function runOwnCommand(own: OwnCommand): Promise<CommandReport> {
  const { host, command, line, why, place, timeout, signal, log, write } = own;
  if (timeout <= 0) {
    log('warn', `no time is left for ${command}`, { why });
    return { command, why, tookMs: 0, reason: 'no time is left for it' };
  }
  log('info', `${command} begins`, { why, command: line.join(' '), timeout });
  const began = performance.now();
  const stdout = forwardLines(host, 'stdout', write);
  const stderr = forwardLines(host, 'stderr', write);
  const environment = { ...place.environment, [REASON_ENV]: why };
  const beside = { command: line, environment, directory: place.directory, timeout, signal };
  const reason = await runBeside(beside, { stdout: stdout.push, stderr: stderr.push });
  for (const lines of [stdout, stderr]) lines.end();
  const tookMs = Math.round(performance.now() - began);
  if (reason === undefined) log('info', `${command} is done`, { why, tookMs });
  else log('warn', `${command} failed: ${reason}`, { why, tookMs });
  return { command, why, tookMs, ...(reason !== undefined && { reason }) };
}
