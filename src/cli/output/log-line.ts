/** One line of a log file: of a guest, of the supervisor or the seed (both JSON), or of the platform (plain text). */
import { clock, day, iso, type Paint } from './terminal';

export type LogEntry = Readonly<Record<string, unknown>>;

/** A line of the platform's, in which a function's invocation begins or ends. */
const STAMPED = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*)$/;

/** What `up` writes into every log, so that earlier clusters are distinguished from the one that runs. */
export function bootLine(host: string): string {
  return JSON.stringify({ time: iso(Date.now()), host, boot: 'imaginary up' });
}

/** The line as an object. What is not JSON becomes `{ host, line }`, with its `time` where it begins with one. */
export function parseLogLine(text: string, host: string): LogEntry {
  if (text.startsWith('{')) {
    try {
      return JSON.parse(text);
    } catch {
      // Somebody printed something with a brace.
    }
  }
  const [, time, line] = STAMPED.exec(text) ?? [];
  return time ? { time, host, line } : { host, line: text };
}

/** `12:03:04.123 what the guest wrote`; what others wrote is marked by a `|` and dim. */
export function logText(entry: LogEntry, paint: Paint): string {
  const { time, level, host: _, stream, message, line, boot, ...facts } = entry;
  const unix = timeOf(entry) ?? Number.NaN;
  if (boot !== undefined) return paint('bold', `── ${day(unix)} ${clock(unix).slice(0, 8)} ${boot} ──`);
  const at = Number.isNaN(unix) ? '' : `${paint('dim', clock(unix))} `;
  if (stream !== undefined) return `${at}${line}`;
  if (message === undefined) return paint('dim', `${at}| ${line ?? JSON.stringify(entry)}`);
  const text = `| ${message}${factsText(facts)}`;
  const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim';
  return `${at}${paint(style, text)}`;
}

/** Unix time, milliseconds; undefined: the line does not say. */
export function timeOf({ time }: LogEntry): number | undefined {
  const unix = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(unix) ? undefined : unix;
}

function factsText(facts: LogEntry): string {
  const known = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return known
    .map(
      ([name, value]) => ` ${name}=${typeof value === 'string' && !/\s/.test(value) ? value : JSON.stringify(value)}`,
    )
    .join('');
}
