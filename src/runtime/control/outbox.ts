import type { TLSSocket } from 'node:tls';

/**
 * Bytes that are written at once. A TLS socket of Node.js begins with a buffer of 1 KiB (`NodeBIO` in its source); once
 * a record does not fit, it keeps one of at least 16 KiB for as long as it is open. With a welcome in one piece, a seed
 * would need as much more for each of its hosts as the welcome is long.
 */
const SLICE = 900;
/** Binary frames that are written at once, unless a single one is longer: a record of TLS. */
const PORTION = 16 * 1024;
/** Bytes of binary frames that wait; further ones are lost. */
const MOST_LOSSY = 512 * 1024;

/** Frames that wait to be written to one socket: JSON in its order, and binary frames, which let JSON go first. */
export class Outbox {
  readonly #slices: Buffer[] = [];
  #sliced = 0;
  readonly #lossy: Buffer[] = [];
  #lossyBytes = 0;
  #sent = 0;
  #flushing = false;
  readonly #onFlushed: Array<() => void> = [];

  constructor(readonly socket: TLSSocket) {}

  /** Bytes of frames that wait. */
  get queued(): number {
    return this.#sliced + this.socket.writableLength;
  }

  /** Bytes so far, with those that wait. */
  get sent(): number {
    return this.#sent;
  }

  write(bytes: Buffer): void {
    this.#sent += bytes.length;
    if (!this.#flushing && bytes.length <= SLICE) {
      this.socket.write(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += SLICE) this.#slices.push(bytes.subarray(at, at + SLICE));
    this.#sliced += bytes.length;
    if (!this.#flushing) this.#flush();
  }

  /** Writes a binary frame once no other frame waits. It is lost when too many bytes of such frames wait. */
  offer(bytes: Buffer): void {
    if (this.#lossyBytes + bytes.length > MOST_LOSSY) return;
    this.#sent += bytes.length;
    this.#lossy.push(bytes);
    this.#lossyBytes += bytes.length;
    if (!this.#flushing) this.#flush();
  }

  /** Resolves when nothing waits any more. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#flushing) this.#onFlushed.push(resolve);
      else this.socket.once('drain', resolve);
    });
  }

  /** Ends this side of the connection after the frames that wait. */
  end(): void {
    if (this.#flushing) this.#onFlushed.push(() => this.socket.end());
    else this.socket.end();
  }

  readonly #flush = (): void => {
    const next = this.socket.destroyed ? undefined : (this.#nextSlice() ?? this.#nextPortion());
    this.#flushing = next !== undefined;
    if (next) this.socket.write(next, this.#flush);
    else for (const done of this.#onFlushed.splice(0)) done();
  };

  #nextSlice(): Buffer | undefined {
    const next = this.#slices.shift();
    this.#sliced -= next?.length ?? 0;
    return next;
  }

  #nextPortion(): Buffer | undefined {
    if (this.#lossy.length === 0) return undefined;
    let count = 1;
    let length = this.#lossy[0].length;
    while (count < this.#lossy.length && length + this.#lossy[count].length <= PORTION)
      length += this.#lossy[count++].length;
    this.#lossyBytes -= length;
    return Buffer.concat(this.#lossy.splice(0, count), length);
  }
}
