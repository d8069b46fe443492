/**
 * The files that guests find elsewhere than they are: those that name this host and its peers, and what the host's
 * manifest adds. Written into the run directory; the shim reads the list when a guest starts (abi.h, IM_FILES_FILE).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FILES_FILE, FILES_MAGIC, RESOLVER_ADDRESS } from '../../../contract/abi/shim';
import { namesOf } from '../../../contract/abi/table';
import type { Welcome } from '../../control/index';
import { NODE_FOLDER, NODE_PATH, writeNodeFiles } from './node-files';

/** Of the run directory. */
export const HOSTS_FILE = 'hosts';
export const HOSTNAME_FILE = 'hostname';
export const RESOLV_FILE = 'resolv.conf';

export type Identity = Pick<Welcome, 'cluster' | 'self' | 'directory'>;

/**
 * @param own the remaps of the host's manifest; one for a path of ours wins
 * @param machine the folder of the machine's own `hosts` and `resolv.conf`
 */
export function writeRemaps(
  runDir: string,
  identity: Identity,
  own: Readonly<Record<string, string>>,
  machine = '/etc',
): void {
  const hosts = join(runDir, HOSTS_FILE);
  const hostname = join(runDir, HOSTNAME_FILE);
  const resolv = join(runDir, RESOLV_FILE);
  put(hosts, hostsText(identity, readOr(join(machine, 'hosts'), '127.0.0.1 localhost\n')));
  put(resolv, resolvText(readOr(join(machine, 'resolv.conf'), '')));
  put(hostname, `${identity.self.name}\n`);
  writeNodeFiles(join(runDir, NODE_FOLDER), identity);
  const ours = {
    '/etc/hosts': hosts,
    '/etc/hostname': hostname,
    '/proc/sys/kernel/hostname': hostname,
    '/etc/resolv.conf': resolv,
    [NODE_PATH]: join(runDir, NODE_FOLDER),
  };
  // A path of the manifest may lead to one of ours: the shim follows only one step.
  const remaps: Record<string, string> = { ...ours };
  for (const [path, target] of Object.entries(own)) remaps[path] = remapped(target, ours);
  const texts = [FILES_MAGIC, ...Object.entries(remaps).flat()];
  put(join(runDir, FILES_FILE), texts.map((text) => `${text}\0`).join(''));
}

function put(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
}

/** Every host of the cluster, then the machine's own entries: readers take the first that fits. */
export function hostsText(identity: Identity, machine: string): string {
  const { cluster, self, directory } = identity;
  const known = directory.some((entry) => entry.address === self.address);
  const entries = known ? directory : [...directory, { ...self, aliases: [] }];
  const lines = entries.map((entry) => `${entry.address}\t${[...new Set(namesOf(entry, cluster))].join(' ')}\n`);
  return `# The imaginary cluster ${cluster}\n${lines.join('')}# This machine\n${machine}`;
}

/** The machine's file with our resolver in place of its nameservers, to which the resolver passes questions on. */
export function resolvText(machine: string): string {
  const others = machine.split('\n').filter((line) => line !== '' && !/^\s*nameserver\b/.test(line));
  return [`nameserver ${RESOLVER_ADDRESS}`, ...others].map((line) => `${line}\n`).join('');
}

/** Where a path is, by the remaps of a host's manifest. */
export function remapped(path: string, own: Readonly<Record<string, string>>): string {
  const beneath = Object.keys(own).filter((from) => path === from || path.startsWith(`${from}/`));
  if (beneath.length === 0) return path;
  const from = beneath.reduce((longest, next) => (next.length > longest.length ? next : longest));
  return own[from] + path.slice(from.length);
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
