/** Merges layers into one folder, as Lambda merges them into /opt: a later one replaces files of an earlier one. */
import { createHash } from 'node:crypto';
import { chmodSync, constants, cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makePrivate } from '../platform/state-dir';

/** @returns for a list of layers the folder that becomes /opt; made once per list */
export function layerMerger(directory: string): (layers: readonly string[]) => string {
  rmSync(directory, { recursive: true, force: true });
  makePrivate(directory);
  const made = new Map<string, string>();
  return (layers) => {
    const key = createHash('sha256').update(JSON.stringify(layers)).digest('hex').slice(0, 12);
    const known = made.get(key);
    if (known) return known;
    const target = join(directory, key);
    mkdirSync(target, { recursive: true });
    for (const layer of layers) {
      cpSync(layer, target, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE });
    }
    // Whatever our umask: the sandbox's user must be able to look into it.
    chmodSync(target, 0o755);
    made.set(key, target);
    return target;
  };
}
