/**
 * The host's log: the function's standard output, one JSON object per line. Two kinds of lines:
 *   {"time":…,"level":…,"host":…,"message":…,…}   the supervisor's own
 *   {"time":…,"host":…,"stream":"stdout"|"stderr","line":…}   a line that a guest wrote
 */
import { writeSync } from 'node:fs';

export type Level = 'info' | 'warn' | 'error';
export type Detail = Readonly<Record<string, string | number | boolean | null | undefined>>;
export type Log = (level: Level, message: string, detail?: Detail) => void;
export type Write = (text: string) => void;

export const toStdout: Write = (text) => {
  // Straight to the descriptor: managed runtimes patch process.stdout and prefix every line.
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A full pipe that was made non-blocking by somebody: give its reader a moment. A closed one: nobody listens.
      if (code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
};

export function createLog(host: string, write: Write): Log {
  return (level, message, detail = {}) => {
    write(`${JSON.stringify({ time: new Date().toISOString(), level, host, message, ...detail })}\n`);
  };
}

export type Stream = 'stdout' | 'stderr';

/** Longer lines are cut into several: a log event holds at most 256 KB. */
const LONGEST_LINE = 64 * 1024;

export interface LineForwarder {
  push(chunk: Buffer): void;
  /** The rest, when the stream has ended without a newline. */
  end(): void;
}

/** Turns what a guest writes into lines of the log. */
export function forwardLines(
  host: string,
  stream: Stream,
  write: Write,
  onLine: (line: string) => void = () => undefined,
): LineForwarder {
  const decoder = new TextDecoder();
  let rest = '';
  const format = (line: string) => `${JSON.stringify({ time: new Date().toISOString(), host, stream, line })}\n`;
  const take = (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    while (rest.length >= LONGEST_LINE) {
      lines.push(rest.slice(0, LONGEST_LINE));
      rest = rest.slice(LONGEST_LINE);
    }
    // One write for all lines of a chunk.
    if (lines.length > 0) write(lines.map((line) => format(line.replace(/\r$/, ''))).join(''));
    for (const line of lines) onLine(line);
  };
  return {
    push: (chunk) => take(decoder.decode(chunk, { stream: true })),
    end: () => {
      take(decoder.decode());
      if (rest !== '') {
        write(format(rest));
        onLine(rest);
      }
      rest = '';
    },
  };
}
