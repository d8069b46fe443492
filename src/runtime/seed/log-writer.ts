/** The seed's log: lines to a descriptor. Whatever becomes of it, the seed neither waits for it nor ends. */
import { copyFile, fstatSync, ftruncate, readlinkSync, rmSync, write } from 'node:fs';

export interface LogWriter {
  /** A line with its end. One for which there is no room is lost, and how many were is said in the next that is not. */
  write(line: string): void;
  /** Resolves when everything is written, or after so many milliseconds. */
  flushed(limit: number): Promise<void>;
}

export interface LogWriterOptions {
  /** Bytes that may wait to be written. */
  readonly waiting?: number;
  /** A file that is longer begins anew; what was in it is in another one with `.1` at the end of its name. */
  readonly longest?: number;
}

/** Milliseconds before another try, when a pipe is full. */
const PAUSE = 50;

export function logWriter(
  fd: number,
  { waiting = 1024 * 1024, longest = 16 * 1024 * 1024 }: LogWriterOptions = {},
): LogWriter {
  const file = fileOf(fd);
  let length = file?.length ?? 0;
  let queue: string[] = [];
  let queued = 0;
  let lost = 0;
  let busy = false;
  const onIdle: Array<() => void> = [];

  const next = () => {
    if (queue.length === 0) {
      busy = false;
      for (const done of onIdle.splice(0)) done();
      return;
    }
    busy = true;
    const bytes = Buffer.from(queue.join(''));
    queue = [];
    queued = 0;
    if (file && length + bytes.length > longest && length > 0) rotate(file.path, () => put(bytes));
    else put(bytes);
  };
  const put = (bytes: Buffer) => {
    write(fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error?.code === 'EAGAIN') return void setTimeout(put, PAUSE, bytes);
      // A disk that is full, a reader that is gone: these lines are lost, the next may find room again.
      if (error) return next();
      length += written;
      if (written < bytes.length && written > 0) return put(bytes.subarray(written));
      next();
    });
  };
  /** By copying, since whoever started the seed has the file open, too, and appends to it. */
  const rotate = (path: string, then: () => void) => {
    const old = `${path}.1`;
    copyFile(path, old, (failed) => {
      if (failed) rmSync(old, { force: true });
      ftruncate(fd, 0, () => {
        length = 0;
        then();
      });
    });
  };

  return {
    write: (line) => {
      if (queued + line.length > waiting) {
        lost += 1;
        return;
      }
      if (lost > 0) {
        queue.push(
          `{"level":"warn","message":"${lost} lines of this log are lost: they came faster than they could be written"}\n`,
        );
        lost = 0;
      }
      queue.push(line);
      queued += line.length;
      // Lines of one moment go together.
      if (!busy) {
        busy = true;
        setImmediate(next);
      }
    },
    flushed: (limit) =>
      new Promise((resolve) => {
        if (!busy) return resolve();
        const timer = setTimeout(resolve, limit);
        onIdle.push(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

/** What the descriptor leads to; undefined: to no file that can be begun anew. */
function fileOf(fd: number): { readonly path: string; readonly length: number } | undefined {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() ? { path: readlinkSync(`/proc/self/fd/${fd}`), length: stat.size } : undefined;
  } catch {
    return undefined;
  }
}
