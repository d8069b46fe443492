/** A function's log file: what its sandboxes write, and Lambda's own START, END and REPORT lines. */
import { createWriteStream } from 'node:fs';
import { LIMITS } from './lambda-limits';

export interface FunctionLog {
  /** Text as it came, which need not end with a line. */
  write(text: string | Buffer): void;
  /** Whole lines of the platform's own. In the file, which is read long after, each begins with its time. */
  note(lines: string): void;
  /** Collects from now on what is written, at most the last 4 KB. */
  tail(): { end(): Buffer };
  close(): Promise<void>;
}

/** @param failed called once, when the file cannot be written (any more): the disk is full */
export function openFunctionLog(file: string, failed: (error: Error) => void): FunctionLog {
  const stream = createWriteStream(file, { flags: 'a', mode: 0o600 });
  let broken = false;
  stream.on('error', (error) => {
    if (!broken) failed(error);
    broken = true;
  });
  const tails = new Set<{ chunk: (bytes: Buffer) => void }>();
  const put = (text: string | Buffer, inFile = text) => {
    const bytes = Buffer.from(text);
    for (const tail of tails) tail.chunk(bytes);
    if (!broken) stream.write(inFile);
  };
  return {
    write: (text) => put(text),
    note: (lines) => put(lines, lines.replace(/^(?=.)/gm, `${new Date().toISOString()} `)),
    tail: () => {
      let last: Buffer = Buffer.alloc(0);
      const tail = {
        chunk: (bytes: Buffer) => {
          last = Buffer.concat([last, bytes]).subarray(-LIMITS.logTail);
        },
      };
      tails.add(tail);
      return {
        end: () => {
          tails.delete(tail);
          return last;
        },
      };
    },
    close: () => new Promise((resolve) => (broken ? resolve() : stream.end(() => resolve()))),
  };
}
