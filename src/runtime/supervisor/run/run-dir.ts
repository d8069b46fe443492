/** The run directory of a host: the files that supervisor and guests share. */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
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
import { NODE_FOLDER } from '../files/node-files';
import { HOSTNAME_FILE, HOSTS_FILE, RESOLV_FILE } from '../files/remaps';
import { GUEST_ENV } from '../guest/environment';
import { type GuestProcesses, type Marks, trackGuests } from '../guest/processes';
import { listNow, stopAll } from '../guest/stop';
import { type MembershipSocket, openMembershipSocket } from '../membership/socket';

/** Locked by the supervisor that has the directory. */
const LOCK_FILE = 'lock';
/** Holds the name of the life that the directory is used for, for a supervisor that finds guests of a dead one. */
const LIFE_FILE = 'life';
/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE = 2_000;

export interface RunDir {
  readonly path: string;
  /** Names this set of guests, and no other one anywhere. Guests have it in their environment (`GUEST_ENV`). */
  readonly life: string;
  /** Guests of a supervisor that had died, which were stopped. */
  readonly stopped: readonly number[];
  readonly shimSocket: string;
  readonly membership: MembershipSocket;
  /** The table, mapped: zeroed. */
  mapTable(size: number): ArrayBuffer;
  /** The file of the guests' sockets, mapped. */
  readonly sockets: ArrayBuffer;
  /** The guests' own counter of datagrams. */
  traffic(): number;
  /** The processes that use the directory, from now on. */
  track(): GuestProcesses;
  /** Removes the files and gives the directory back. */
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
 * Takes the directory, and makes in it what does not depend on the cluster. Guests that a dead supervisor left in it
 * are stopped: without one they are in no cluster.
 * @throws RunDirBusyError
 */
export async function openRunDir(path: string, native: Pick<NativeAddon, 'mapFile' | 'lockFile'>): Promise<RunDir> {
  const inDir = (name: string) => join(path, name);
  const remapped = [HOSTS_FILE, HOSTNAME_FILE, RESOLV_FILE];
  const files = [TABLE_FILE, SOCKETS_FILE, SHIM_SOCKET, FILES_FILE, LIFE_FILE, NODE_FOLDER, ...remapped].map(inDir);
  const isNew = mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined;
  const [lock, owner] = native.lockFile(inDir(LOCK_FILE));
  if (lock < 0) throw new RunDirBusyError(path, owner);
  const mapped = join(realpathSync(path), TABLE_FILE);
  const track = (life: string, since?: Marks['since']) =>
    trackGuests({ environment: `${GUEST_ENV}=${life}`, mapped, since });

  const stopped = isNew ? [] : await stopFormer(lifeIn(inDir(LIFE_FILE)), track);
  if (!isNew) for (const file of files) rmSync(file, { force: true, recursive: true });

  const life = randomBytes(12).toString('hex');
  writeFileSync(inDir(LIFE_FILE), life, { mode: 0o600 });
  const sockets = native.mapFile(inDir(SOCKETS_FILE), SOCKETS_SIZE);
  const traffic = new Uint32Array(sockets, TRAFFIC_OFFSET, 1);
  const membership = openMembershipSocket(path);
  let owned = true;
  return {
    path,
    life,
    stopped,
    shimSocket: inDir(SHIM_SOCKET),
    membership,
    mapTable: (size) => native.mapFile(inDir(TABLE_FILE), size),
    sockets,
    traffic: () => Atomics.load(traffic, 0),
    track: () => track(life),
    remove: () => {
      if (!owned) return;
      owned = false;
      membership.server.close();
      for (const file of [...files, inDir(LOCK_FILE)]) rmSync(file, { force: true, recursive: true });
      closeSync(lock);
    },
  };
}

/** @returns the guests of that life, which are stopped */
async function stopFormer(
  life: string | undefined,
  track: (life: string, since: number) => GuestProcesses,
): Promise<number[]> {
  if (life === undefined) return [];
  const processes = track(life, 0);
  const left = listNow(processes) ?? [];
  if (left.length > 0 || processes.undecided) await stopAll({ processes }, GRACE);
  return left.map(({ pid }) => pid);
}

function lifeIn(file: string): string | undefined {
  try {
    const life = readFileSync(file, 'latin1');
    return /^[0-9a-f]{24}$/.test(life) ? life : undefined;
  } catch {
    return undefined;
  }
}
