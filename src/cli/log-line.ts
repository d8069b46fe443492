/** One line of a log file: of a guest, of the supervisor or the seed (both JSON), or of the platform (plain text). */
import { clock, type Paint } from './terminal';

export type LogEntry = Readonly<Record<string, unknown>>;

/** The line as an object. What is not JSON becomes `{ host, line }`. */
export function parseLogLine(text: string, host: string): LogEntry {
  if (text.startsWith('{')) {
    try {
      return JSON.parse(text);
    } catch {
      // Somebody printed something with a brace.
    }
  }
  return { host, line: text };
}

/** `12:03:04.123 what the guest wrote`; what others wrote is marked by a `|` and dim. */
export function logText(entry: LogEntry, paint: Paint): string {
  const { time, level, host: _, stream, message, line, ...facts } = entry;
  const unix = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  const at = Number.isNaN(unix) ? '' : `${paint('dim', clock(unix))} `;
  if (stream !== undefined) return `${at}${line}`;
  if (message === undefined) return paint('dim', `${at}| ${line ?? JSON.stringify(entry)}`);
  const text = `| ${message}${factsText(facts)}`;
  const style = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim';
  return `${at}${paint(style, text)}`;
}

function factsText(facts: LogEntry): string {
  const known = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return known
    .map(
      ([name, value]) => ` ${name}=${typeof value === 'string' && !/\s/.test(value) ? value : JSON.stringify(value)}`,
    )
    .join('');
}
