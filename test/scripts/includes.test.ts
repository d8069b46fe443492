/** What native outputs are built from: every header counts, wherever it is. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { NATIVE_OUTPUTS } from '../../scripts/bundle-outputs';
import { includedBy } from '../../scripts/includes';

const root = resolve(__dirname, '../..');

const sourcesOf = (folders: readonly string[]) =>
  folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name))).filter((f) => f.endsWith('.c'));
const includeFolders = (flags: readonly string[]) => flags.filter((_, i) => flags[i - 1] === '-I');

beforeAll(() => process.chdir(root));

test.each(NATIVE_OUTPUTS)('every header that $file includes by its name is among its inputs', ({ folders, flags }) => {
  const inputs = includedBy(sourcesOf(folders), includeFolders(flags));
  const named = inputs.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/#include "([^"]+)"/g)].map(([, name]) => ({ file, name })),
  );
  expect(named.length).toBeGreaterThan(0);
  for (const { file, name } of named) {
    const places = [join(file, '..'), ...includeFolders(flags)].map((folder) => join(folder, name));
    expect(places.filter((place) => inputs.includes(place))).not.toEqual([]);
  }
});

test("the shim's contract is an input of the addon", () => {
  const { folders, flags } = NATIVE_OUTPUTS.find(({ file }) => file.endsWith('native.node'))!;
  expect(includedBy(sourcesOf(folders), includeFolders(flags))).toContain('src/contract/abi/abi.h');
});

test('headers of headers, of the -I folders, one that shadows another, and one that is gone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-includes-'));
  const file = (name: string, text = '') => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  try {
    for (const name of ['one', 'two']) mkdirSync(join(folder, name));
    const main = file('main.c', '#include "a.h"\n  #  include <b.h>\n#include <stdio.h>\n');
    const places = [join(folder, 'one'), join(folder, 'two')];
    const a = file('a.h', '#include "c.h"\n#include "a.h"\n');
    const b = file('two/b.h');
    const c = file('two/c.h');
    expect(includedBy([main], places)).toEqual([a, main, b, c].sort());
    const nearer = file('one/b.h');
    expect(includedBy([main], places)).toEqual([a, main, nearer, c].sort());
    rmSync(c);
    expect(includedBy([main], places)).toEqual([a, main, nearer].sort());
  } finally {
    rmSync(folder, { recursive: true });
  }
});
