/**
 * The state directory of a cluster: taken by one platform at a time, and what is written into it before anything runs.
 */
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { LocalError } from '../errors';
import { bootstrapFile } from '../paths';
import { cgroupPrefix } from '../sandbox/cgroup';
import { cleanLeftovers } from '../sandbox/leftovers';
import { writeFirstKey } from './key-file';
import { takeLock } from './lock';
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
      `imaginary down --state ${path}, or choose another state directory with --state DIR`,
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
  for (const folder of [state.logDir, state.sandboxes]) makePrivate(folder);
  // Of a version that left them open.
  for (const name of readdirSync(state.logDir)) chmodSync(join(state.logDir, name), 0o600);
  mkdirSync(state.runtime, { recursive: true });
  writeFirstKey(state.keyFile);
  // A copy that every user can read, wherever and with whatever umask this package was installed.
  const file = join(state.runtime, 'bootstrap.js');
  copyFileSync(bootstrapFile(), file);
  chmodSync(state.runtime, 0o755);
  chmodSync(file, 0o644);
}

/** For nobody but the platform's user, whatever the umask, and whatever the mode of one that is there. */
export function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
}

/** As a new file, since one that is there keeps its mode. */
export function writePrivate(file: string, text: string): void {
  rmSync(file, { force: true });
  writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
}

function makeFolder(path: string): string {
  try {
    // One that is there may be a folder of the user's with other things in it: its mode is left alone.
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.W_OK | constants.X_OK);
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error;
    const message = `${path} cannot be the state directory: ${(error as Error).message}`;
    throw new LocalError('state-dir', message, 'Choose another one with --state DIR.', { cause: error });
  }
}
