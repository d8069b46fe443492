/** The seed's log: lines to a descriptor. Whatever becomes of it, the seed neither waits for it nor ends. */
import { copyFile, fstatSync, ftruncate, readlinkSync, rmSync, write } from 'node:fs';

export interface LogWriterOptions {
  /** Bytes that may wait to be written. */
  readonly waiting?: number;
  /** A file that is longer begins anew; what was in it is in another one with `.1` at the end of its name. */
  readonly longest?: number;
}

/** Milliseconds before another try, when a pipe is full. */
const PAUSE = 50;
/** Milliseconds between two writes: each costs as much as many lines. */
const APART = 5;

export class LogWriter {
  readonly #fd: number;
  readonly #waiting: number;
  readonly #longest: number;
  readonly #path: string | undefined;
  readonly #onIdle: Array<() => void> = [];
  /** `performance.now()` of the last write. */
  #wroteAt = Number.NEGATIVE_INFINITY;
  #length: number;
  #queue: string[] = [];
  #queued = 0;
  #lost = 0;
  #busy = false;

  constructor(fd: number, { waiting = 1024 * 1024, longest = 16 * 1024 * 1024 }: LogWriterOptions = {}) {
    const file = fileOf(fd);
    this.#fd = fd;
    this.#waiting = waiting;
    this.#longest = longest;
    this.#path = file?.path;
    this.#length = file?.length ?? 0;
  }

  /** A line with its end. One for which there is no room is lost, and the next that is not reports how many were. */
  write(line: string): void {
    if (this.#queued + line.length > this.#waiting) {
      this.#lost += 1;
      return;
    }
    if (this.#lost > 0) {
      const message = `${this.#lost} lines of this log are lost: they came faster than they could be written`;
      this.#queue.push(`{"level":"warn","message":"${message}"}\n`);
      this.#lost = 0;
    }
    this.#queue.push(line);
    this.#queued += line.length;
    if (this.#busy) return;
    this.#busy = true;
    this.#soon();
  }

  /** Resolves when everything is written, or after so many milliseconds. */
  flushed(limit: number): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#busy) return resolve();
      const timer = setTimeout(resolve, limit);
      this.#onIdle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Lines of one moment go together, and those that come right after a write. */
  #soon() {
    const wait = this.#wroteAt + APART - performance.now();
    if (wait > 0) setTimeout(() => this.#next(), wait);
    else setImmediate(() => this.#next());
  }

  #next() {
    if (this.#queue.length === 0) {
      this.#busy = false;
      for (const done of this.#onIdle.splice(0)) done();
      return;
    }
    this.#wroteAt = performance.now();
    const bytes = Buffer.from(this.#queue.join(''));
    this.#queue = [];
    this.#queued = 0;
    const full = this.#length + bytes.length > this.#longest && this.#length > 0;
    if (this.#path !== undefined && full) this.#rotate(this.#path, () => this.#put(bytes));
    else this.#put(bytes);
  }

  #put(bytes: Buffer) {
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error?.code === 'EAGAIN') return void setTimeout(() => this.#put(bytes), PAUSE);
      // A disk that is full, a reader that is gone: these lines are lost, the next may find room again.
      if (error) return this.#again();
      this.#length += written;
      if (written < bytes.length && written > 0) return this.#put(bytes.subarray(written));
      this.#again();
    });
  }

  #again() {
    if (this.#queue.length > 0) this.#soon();
    else this.#next();
  }

  /** By copying: the process that started the seed has the file open, too, and appends to it. */
  #rotate(path: string, then: () => void) {
    const old = `${path}.1`;
    copyFile(path, old, (failed) => {
      if (failed) rmSync(old, { force: true });
      ftruncate(this.#fd, 0, () => {
        this.#length = 0;
        then();
      });
    });
  }
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
