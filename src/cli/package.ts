import { join } from 'node:path';

/** The package's own folder: this code runs as src/cli/*.ts or as assets/cli/imaginary.js, both two levels down. */
const ROOT = join(__dirname, '..', '..');

export function packageFile(...path: string[]): string {
  return join(ROOT, ...path);
}
