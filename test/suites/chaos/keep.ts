/** `--keep DIR`: what a run has written, for whoever looks for what went wrong. */
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** @param from folders, whose files are copied into the one */
export function keep(folder: string, from: readonly string[]): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const one of from) for (const file of readdirSync(one)) copyFileSync(join(one, file), join(folder, file));
}
