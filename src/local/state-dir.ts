/** The state directory of a cluster: taken by one platform at a time, and what is written into it before anything runs. */
import { accessSync, chmodSync, constants, copyFileSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cgroupPrefix } from './cgroup';
import { LocalError } from './errors';
import { writeFirstKey } from './key-file';
import { cleanLeftovers } from './leftovers';
import { takeLock } from './lock';
import { bootstrapFile } from './paths';
import { isPlatformRunning, readPlatform } from './platform-file';

export interface StateDir {
  /** Real and absolute. */
  readonly path: string;
  /** Begins the names of everything of this state directory that is elsewhere: cgroups, folders of /tmp. */
  readonly prefix: string;
  readonly keyFile: string;
  readonly manifestFile: string;
  readonly logDir: string;
  readonly sandboxes: string;
  readonly layers: string;
  /** Folder of the runtime client. */
  readonly runtime: string;
  /** Gives it back to others. */
  release(): void;
}

/**
 * Takes the directory, makes it where needed, and removes what a platform left that was killed.
 * @throws LocalError
 */
export async function takeStateDir(given: string): Promise<StateDir> {
  const path = makeFolder(resolve(given));
  const prefix = cgroupPrefix(path);
  const lock = await takeLock(`state/${prefix}`);
  const info = readPlatform(path);
  if (!lock || (info && isPlatformRunning(info))) {
    lock?.release();
    const who = info ? `the cluster '${info.cluster}' is already running` : 'another cluster is already booting';
    throw new LocalError(
      'already-running',
      `${who} in ${path}${info ? ` (process ${info.pid})` : ''}`,
      'imaginary down, or choose another state directory with --state DIR',
    );
  }
  const state: StateDir = {
    path,
    prefix,
    keyFile: join(path, 'key'),
    manifestFile: join(path, 'manifest.json'),
    logDir: join(path, 'logs'),
    sandboxes: join(path, 'sandboxes'),
    layers: join(path, 'layers'),
    runtime: join(path, 'runtime'),
    release: () => {
      rmSync(state.sandboxes, { recursive: true, force: true });
      lock.release();
    },
  };
  try {
    await cleanLeftovers(path);
    fill(state);
  } catch (error) {
    state.release();
    throw error;
  }
  return state;
}

function fill(state: StateDir): void {
  for (const folder of [state.logDir, state.sandboxes, state.runtime]) mkdirSync(folder, { recursive: true });
  writeFirstKey(state.keyFile);
  // A copy that every user can read, wherever and with whatever umask this package was installed.
  const file = join(state.runtime, 'bootstrap.js');
  copyFileSync(bootstrapFile(), file);
  chmodSync(state.runtime, 0o755);
  chmodSync(file, 0o644);
}

function makeFolder(path: string): string {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK | constants.X_OK);
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error;
    const message = `${path} cannot be the state directory: ${(error as Error).message}`;
    throw new LocalError('state-dir', message, 'Choose another one with --state DIR.', { cause: error });
  }
}
