/** Where the built parts are: this code runs as src/local/*.ts or as assets/cli/imaginary.js, both two levels down. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalError } from './errors';

const ROOT = join(__dirname, '..', '..');

/** As in the folders' names: Lambda's. */
export const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'x86_64';

/** The path of a Unix socket has 107 bytes at most, and ours have 57 of their own behind the folder's. */
const LONGEST_TMP = 50;

/** The folder for temporary files, or `/tmp` where its path leaves no room for sockets in it. */
export function shortTmp(): string {
  return Buffer.byteLength(tmpdir()) <= LONGEST_TMP ? tmpdir() : '/tmp';
}

/** @throws LocalError when it was not built */
export function builtFile(...path: string[]): string {
  const file = join(ROOT, ...path);
  if (existsSync(file)) return file;
  throw new LocalError('not-built', `${file} is missing`, 'In a checkout of the project, run: npx projen bundle');
}

export const builtLayer = (part: 'supervisor' | 'shim') => builtFile('lambda-layers', part, ARCHITECTURE);
export const launcherFile = () => builtFile('assets', 'native', ARCHITECTURE, 'sandbox');
export const networkFile = () => builtFile('assets', 'native', ARCHITECTURE, 'network');
export const forwardFile = () => builtFile('assets', 'native', ARCHITECTURE, 'forward');
export const seedFile = () => builtFile('assets', 'seed', 'seed.js');
export const bootstrapFile = () => builtFile('assets', 'local', 'bootstrap.js');
