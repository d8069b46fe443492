/** Bundles as they ship, but not minified: what a test runs in a process of its own. */
import { basename, join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { JS_OUTPUTS, toEsbuild } from '../../scripts/bundle-outputs';

const root = resolve(__dirname, '../..');

/** @param file where the bundle lies when it ships, from the root of the package @returns where it lies in the folder */
export function bundleInto(folder: string, file: string): string {
  const output = JS_OUTPUTS.find(({ files }) => files.includes(file));
  if (!output) throw new Error(`no bundle is built as ${file}`);
  const outfile = join(folder, basename(file));
  buildSync({ ...toEsbuild(output), absWorkingDir: root, outfile, minify: false });
  return outfile;
}
