/** A program's file, opened once and read in blocks: what is looked at in it are many small pieces near each other. */
import { closeSync, openSync, readSync } from 'node:fs';

/** No more than this is read at once, whatever the file's headers say. */
const MOST_BYTES = 256 * 1024;
const BLOCK = 64 * 1024;
/** Blocks that are kept. */
const MOST_BLOCKS = 16;

export class ProgramFile {
  readonly #descriptor: number;
  readonly #blocks = new Map<number, Buffer>();

  /** @throws the error of open(2) */
  constructor(readonly path: string) {
    this.#descriptor = openSync(path, 'r');
  }

  /** @returns less than asked for where there is less, or where it is more than `most`; not to be written to */
  read(offset: number | bigint, length: number, most = MOST_BYTES): Buffer {
    // Behind any file's end: what a damaged header says.
    if (offset > Number.MAX_SAFE_INTEGER) return Buffer.alloc(0);
    const size = Math.min(length, most);
    const number = Math.floor(Number(offset) / BLOCK);
    const start = Number(offset) - number * BLOCK;
    if (start + size > BLOCK) return this.#readFrom(offset, size);
    return this.#block(number).subarray(start, start + size);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #block(number: number): Buffer {
    const known = this.#blocks.get(number);
    if (known) return known;
    const block = this.#readFrom(number * BLOCK, BLOCK);
    if (this.#blocks.size >= MOST_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
    this.#blocks.set(number, block);
    return block;
  }

  #readFrom(offset: number | bigint, size: number): Buffer {
    const buffer = Buffer.allocUnsafe(size);
    return buffer.subarray(0, readSync(this.#descriptor, buffer, 0, size, offset));
  }
}
