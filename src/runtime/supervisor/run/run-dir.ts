/** The run directory of a host: the files that supervisor and guests share. */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  FILES_FILE,
  SHIM_SOCKET,
  SOCKETS_FILE,
  SOCKETS_SIZE,
  TABLE_FILE,
  TRAFFIC_OFFSET,
} from '../../../contract/abi/shim';
import type { NativeAddon } from '../../../native/addon';
import { HOSTNAME_FILE, HOSTS_FILE, RESOLV_FILE } from '../files/remaps';
import { findLeftover, GUEST_FILE, type Leftover } from '../guest/adoption';

/** Locked by the supervisor that has the directory. */
const LOCK_FILE = 'lock';
/** Holds the name of the life that the directory is used for. */
const LIFE_FILE = 'life';

export interface RunDir {
  readonly path: string;
  /** Names this set of guests, and no other one anywhere. It outlives a supervisor that dies before its guests. */
  readonly life: string;
  readonly shimSocket: string;
  /** Guests of a supervisor that died: they have the files mapped, so these are as it left them. */
  readonly leftover?: Leftover;
  /** The table, mapped: zeroed, or the one of the guests that are left. */
  mapTable(size: number): ArrayBuffer;
  /** The guests' own counter of datagrams. */
  traffic(): number;
  /** Gives the directory back as it was found. */
  leave(): void;
  remove(): void;
}

/** Two supervisors cannot have one run directory. */
export class RunDirBusyError extends Error {
  readonly code = 'RUN_DIR_BUSY';
  constructor(
    readonly path: string,
    readonly pid: number,
  ) {
    super(`the run directory ${path} belongs to the supervisor with process number ${pid}, which is alive`);
    this.name = 'RunDirBusyError';
  }
}

/**
 * Takes the directory, and makes in it what does not depend on the cluster. What an earlier supervisor left is removed, unless
 * guests of it still run.
 * @throws RunDirBusyError
 */
export function openRunDir(path: string, native: Pick<NativeAddon, 'mapFile' | 'lockFile' | 'tcpSockets'>): RunDir {
  const inDir = (name: string) => join(path, name);
  const remapped = [HOSTS_FILE, HOSTNAME_FILE, RESOLV_FILE];
  const files = [TABLE_FILE, SOCKETS_FILE, SHIM_SOCKET, FILES_FILE, GUEST_FILE, LIFE_FILE, ...remapped].map(inDir);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const [lock, holder] = native.lockFile(inDir(LOCK_FILE));
  if (lock < 0) throw new RunDirBusyError(path, holder);
  const leftover = findLeftover(path, native);
  const clean = () => {
    for (const file of files) rmSync(file, { force: true });
  };
  if (!leftover) clean();
  const life = (leftover && lifeIn(inDir(LIFE_FILE))) ?? randomBytes(12).toString('hex');
  writeFileSync(inDir(LIFE_FILE), life, { mode: 0o600 });
  const traffic = new Uint32Array(native.mapFile(inDir(SOCKETS_FILE), SOCKETS_SIZE), TRAFFIC_OFFSET, 1);
  let owned = true;
  const giveBack = (cleaning: boolean) => {
    if (!owned) return;
    owned = false;
    if (cleaning) {
      clean();
      rmSync(inDir(LOCK_FILE), { force: true });
    }
    closeSync(lock);
  };
  return {
    path,
    life,
    shimSocket: inDir(SHIM_SOCKET),
    leftover,
    mapTable: (size) => native.mapFile(inDir(TABLE_FILE), size),
    traffic: () => Atomics.load(traffic, 0),
    leave: () => giveBack(!leftover),
    remove: () => giveBack(true),
  };
}

function lifeIn(file: string): string | undefined {
  try {
    const life = readFileSync(file, 'latin1');
    return /^[0-9a-f]{24}$/.test(life) ? life : undefined;
  } catch {
    return undefined;
  }
}
