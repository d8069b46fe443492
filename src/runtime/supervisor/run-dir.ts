/** The run directory of a host: the files that supervisor and guests share. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeAddon } from '../../native';
import { FILES_FILE, SHIM_SOCKET, SOCKETS_FILE, SOCKETS_SIZE, TABLE_FILE, TRAFFIC_OFFSET } from '../protocol/shim';
import { HOSTNAME_FILE, HOSTS_FILE } from './remaps';

export interface RunDir {
  readonly path: string;
  readonly shimSocket: string;
  /** A new, zeroed table of that size, mapped. */
  mapTable(size: number): ArrayBuffer;
  /** The guests' own counter of datagrams. */
  traffic(): number;
  remove(): void;
}

/** Makes the directory, and in it what does not depend on the cluster. What an earlier supervisor left is replaced. */
export function openRunDir(path: string, native: Pick<NativeAddon, 'mapFile'>): RunDir {
  const files = [TABLE_FILE, SOCKETS_FILE, SHIM_SOCKET, FILES_FILE, HOSTS_FILE, HOSTNAME_FILE].map((name) =>
    join(path, name),
  );
  const remove = () => {
    for (const file of files) rmSync(file, { force: true });
  };
  mkdirSync(path, { recursive: true, mode: 0o700 });
  remove();
  const traffic = new Uint32Array(native.mapFile(join(path, SOCKETS_FILE), SOCKETS_SIZE), TRAFFIC_OFFSET, 1);
  return {
    path,
    shimSocket: join(path, SHIM_SOCKET),
    mapTable: (size) => native.mapFile(join(path, TABLE_FILE), size),
    traffic: () => Atomics.load(traffic, 0),
    remove,
  };
}
