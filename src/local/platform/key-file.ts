/**
 * The file that holds the cluster's keys: one a line, the newest first. Read by the seed and by programs that may act
 * for the cluster.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

const newKey = () => randomBytes(32).toString('base64url');
const keysOf = (file: string) => readFileSync(file, 'utf8').split('\n').filter(Boolean);

export function writeFirstKey(file: string): void {
  write(file, [newKey()]);
}

/** Puts a new key before the newest one. What a rotation that was interrupted left behind it goes. */
export function addKey(file: string): void {
  write(file, [newKey(), keysOf(file)[0]]);
}

/** Leaves the newest key only. */
export function keepNewestKey(file: string): void {
  write(file, keysOf(file).slice(0, 1));
}

/** In one step: a reader never finds half a key. */
function write(file: string, keys: readonly string[]): void {
  const temporary = `${file}.${process.pid}`;
  try {
    writeFileSync(temporary, `${keys.join('\n')}\n`, { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
