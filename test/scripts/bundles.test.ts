/** What a cold start loads is loaded by `require`, in one piece each (`scripts/bundle.ts` says what else it costs). */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { JS_OUTPUTS } from '../../scripts/bundle-outputs';

const root = resolve(__dirname, '../..');
const textOf = (file: string) => readFileSync(join(root, file), 'utf8');

test.each(JS_OUTPUTS)('$entry: import() only of modules of others', ({ files, importsOthers = false }) => {
  for (const file of files) expect(/\bimport\(/.test(textOf(file))).toBe(importsOthers);
});

const layer = JS_OUTPUTS.flatMap(({ files }) => files).filter((file) => file.startsWith('lambda-layers/'));

test.each(layer)('%s: no module is wrapped', (file) => {
  // esbuild's `__esm` runs what it wraps once, and keeps what was thrown.
  expect(textOf(file)).not.toMatch(/throw \w+\[0\]/);
});
