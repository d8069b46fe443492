/** The programs of test/e2e/guests. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const python = '/usr/bin/python3';
/** A Redis that other hosts reach, and that keeps nothing on a disk. */
export const redisServer: readonly string[] = [
  ...['/usr/bin/redis-server', '--bind', '0.0.0.0', '--dir', '/tmp', '--save', '', '--protected-mode', 'no'],
];

/** These programs as files of a cluster's code. */
export function guestFiles(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(__dirname, '../e2e/guests', name), 'utf8')]));
}
