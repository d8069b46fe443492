/**
 * Who this host is in the cluster, for guests that want to know: files in a folder of the run directory, which guests
 * find at `NODE_PATH`, and variables of their environment.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Welcome } from '../../control/index';

/** Of the run directory. */
export const NODE_FOLDER = 'node';
/** Where guests see the folder. */
export const NODE_PATH = '/run/imaginary';
/** A Unix socket in the folder: see `membership/streams.ts`. */
export const MEMBERSHIP_SOCKET = 'membership';

type Self = Pick<Welcome['self'], 'name' | 'address' | 'nodeId'>;
export type NodeIdentity = { readonly self: Self } & Pick<Welcome, 'directory'>;

/** `id`, `name` and `address` have one line. `nodes` has one for each host: id, name and address, with tabs between. */
export function writeNodeFiles(folder: string, { self, directory }: NodeIdentity): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const put = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  put('id', `${self.nodeId}\n`);
  put('name', `${self.name}\n`);
  put('address', `${self.address}\n`);
  const hosts = directory.filter(({ service }) => !service);
  put('nodes', hosts.map(({ nodeId, name, address }) => `${nodeId}\t${name}\t${address}\n`).join(''));
}

export function nodeEnvironment({ nodeId, name, address }: Self, runDir: string): Record<string, string> {
  return {
    IMAGINARY_NODE_ID: String(nodeId),
    IMAGINARY_NODE_NAME: name,
    IMAGINARY_NODE_ADDRESS: address,
    IMAGINARY_NODES: `${NODE_PATH}/nodes`,
    // The shim remaps no addresses of Unix sockets.
    IMAGINARY_MEMBERSHIP: join(runDir, NODE_FOLDER, MEMBERSHIP_SOCKET),
  };
}
