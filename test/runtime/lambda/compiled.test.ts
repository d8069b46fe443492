/** A bundle is loaded with what was compiled of it ahead: of this bundle, by this Node.js, and else not at all. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { CODE_CACHE } from '../../../scripts/bundle-outputs';
import { codeCache, named } from '../../../scripts/code-cache';
import {
  BUNDLE_LINE,
  CODE_CACHE_HEADER,
  codeCacheHeader,
  codeCacheSizes,
  isCodeCacheOf,
} from '../../../src/contract/platform/code-cache';

const root = resolve(__dirname, '../../..');
const folder = mkdtempSync(join(tmpdir(), 'imaginary-compiled-'));
const [bundle, cache, compiled, main] = ['some.js', 'some.cache', 'compiled.js', 'main.js'].map((name) =>
  join(folder, name),
);
const bundleOf = (text: string) => named(Buffer.from(text));
const SOURCE = `exports.answer = () => 'right'; exports.folder = __dirname; exports.twice = (x) => 2 * x;`;

/** Loads it in a process with these flags. @returns its exports; null: it was not loaded */
function load(flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const output = execFileSync(process.execPath, [...flags, main], { env: { ...process.env, ...env } });
  return JSON.parse(output.toString());
}
const LOADED = { answer: 'right', folder };

beforeAll(() => {
  writeFileSync(
    main,
    `const loaded = require('./compiled.js').loadCompiled('some', __dirname);
     console.log(JSON.stringify(loaded ? { answer: loaded.answer(), folder: loaded.folder } : null));`,
  );
  buildSync({
    entryPoints: [join(root, 'src/runtime/lambda/compiled.ts')],
    ...{ outfile: compiled, bundle: true, platform: 'node', format: 'cjs' },
  });
});
beforeEach(async () => {
  rmSync(cache, { force: true });
  writeFileSync(bundle, bundleOf(SOURCE));
  writeFileSync(cache, await codeCache(bundleOf(SOURCE), cache));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a process without flags uses it', () => {
  expect(load()).toEqual(LOADED);
});

const OF_MEMORY = ['--expose-gc', '--max-semi-space-size=10', '--max-old-space-size=300', '--max_old_space_size=300'];
test.each([...OF_MEMORY, '--max-http-header-size=81920'])('so does one with %s', (flag) => {
  expect(load([flag])).toEqual(LOADED);
  expect(load([], { NODE_OPTIONS: flag === '--expose-gc' ? '' : flag })).toEqual(LOADED);
});

test("so does one with all that Lambda's runtime says", () => {
  expect(load([...OF_MEMORY, '--max-http-header-size', '81920'])).toEqual(LOADED);
});

test.each(['--no-opt', '--jitless', '--no-lazy'])('one with %s does not: V8 refuses it', (flag) => {
  expect(load([flag])).toBeNull();
  expect(load([flag, '--expose-gc'])).toBeNull();
});

test('one of another bundle, of the same length, is not used', () => {
  const other = SOURCE.replace('right', 'wrong');
  for (const bytes of [bundleOf(other), Buffer.from(other), Buffer.from(''), bundleOf(`${SOURCE}//`)]) {
    writeFileSync(bundle, bytes);
    expect(load()).toBeNull();
  }
});

test.each([
  ['no file', () => rmSync(cache)],
  ['an empty file', () => writeFileSync(cache, '')],
  ['only a header', () => writeFileSync(cache, codeCacheHeader(bundleOf(SOURCE), 1_000))],
  ['half a header', () => writeFileSync(cache, readFileSync(cache).subarray(0, 60))],
  ['half a file', () => writeFileSync(cache, readFileSync(cache).subarray(0, CODE_CACHE_HEADER + 64))],
  [
    'one of another Node.js',
    () => writeFileSync(cache, readFileSync(cache).fill('v1.2.3 ', BUNDLE_LINE, BUNDLE_LINE + 7)),
  ],
  [
    'one of another V8',
    () => writeFileSync(cache, readFileSync(cache).fill(1, CODE_CACHE_HEADER + 4, CODE_CACHE_HEADER + 8)),
  ],
])('%s is not used', (_, spoil) => {
  spoil();
  expect(load()).toBeNull();
});

test('one that fits is kept, so that what is built twice is the same', async () => {
  const before = readFileSync(cache);
  expect(await codeCache(bundleOf(SOURCE), cache)).toEqual(before);
  expect(await codeCache(bundleOf(`${SOURCE};`), cache)).not.toEqual(before);
});

test("the layer's is of the layer's bundle and of this Node.js", () => {
  const [layerBundle, layerCache] = CODE_CACHE.map((file) => readFileSync(join(root, file)));
  expect(isCodeCacheOf(layerBundle.subarray(-BUNDLE_LINE), layerCache)).toBe(true);
  const code = layerCache.length - CODE_CACHE_HEADER;
  expect(codeCacheSizes(layerCache)).toEqual({ bundle: layerBundle.length, code });
});
