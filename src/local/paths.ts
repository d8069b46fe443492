/** Where the built parts are: this code runs as src/local/*.ts or as assets/cli/imaginary.js, both two levels down. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LocalError } from './errors';

const ROOT = join(__dirname, '..', '..');

/** As in the folders' names: Lambda's. */
export const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'x86_64';

/** @throws LocalError when it was not built */
export function builtFile(...path: string[]): string {
  const file = join(ROOT, ...path);
  if (existsSync(file)) return file;
  throw new LocalError('not-built', `${file} is missing`, 'In a checkout of the project, run: npx projen bundle');
}

export const builtLayer = (part: 'supervisor' | 'shim') => builtFile('lambda-layers', part, ARCHITECTURE);
export const launcherFile = () => builtFile('assets', 'native', ARCHITECTURE, 'sandbox');
export const networkFile = () => builtFile('assets', 'native', ARCHITECTURE, 'network');
export const seedFile = () => builtFile('assets', 'seed', 'seed.js');
export const bootstrapFile = () => builtFile('assets', 'local', 'bootstrap.js');
