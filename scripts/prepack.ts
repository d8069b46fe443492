/**
 * Builds what the npm package consists of, as far as it is missing or older than its sources, and checks that it is all
 * there. `npm pack` runs it by itself; a package without the library or without the layers would be found out by its
 * first user only.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { bin, main, types } from '../package.json';
import { ARCHITECTURES, COPIES, JS_OUTPUTS, NATIVE_OUTPUTS } from './bundle-outputs';

process.chdir(path.resolve(__dirname, '..'));

function run(task: string): void {
  const { status, signal } = spawnSync('npx', ['projen', task], { stdio: 'inherit' });
  if (status === 0) return;
  console.error(
    `prepack: 'npx projen ${task}' failed (${signal ?? `exit code ${status}`}), so nothing is packed; mend it and pack again`,
  );
  process.exit(1);
}

/** When the newest file beneath these paths was changed. */
function newest(...paths: string[]): number {
  return Math.max(
    ...paths.map((file) =>
      fs.statSync(file).isDirectory()
        ? newest(...fs.readdirSync(file).map((name) => path.join(file, name)))
        : fs.statSync(file).mtimeMs,
    ),
  );
}

const LIBRARY = ['.jsii', main, types];
const built = LIBRARY.every((file) => fs.existsSync(file));
if (
  !built ||
  newest('src/index.ts', 'src/constructs', 'src/contract/manifest', 'package.json') > fs.statSync('.jsii').mtimeMs
)
  run('compile');
run('bundle');

const files = [
  ...LIBRARY,
  ...Object.values(bin),
  ...JS_OUTPUTS.flatMap((output) => output.files),
  ...NATIVE_OUTPUTS.flatMap(({ file }) => ARCHITECTURES.map((arch) => file.replace('<arch>', arch))),
  ...COPIES.map(([, to]) => to),
];
const missing = files.filter((file) => !fs.existsSync(file));
if (missing.length > 0) {
  console.error(
    `prepack: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing after the build, so nothing is packed`,
  );
  process.exitCode = 1;
}
