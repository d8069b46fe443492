/** What native outputs are built from: every header counts, wherever it is. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { NATIVE_OUTPUTS } from '../../../scripts/bundle-outputs';
import { includedBy } from '../../../scripts/includes';

const root = resolve(__dirname, '../../..');

test.each(NATIVE_OUTPUTS)('every header that $file includes by its path is among its inputs', ({ folders }) => {
  const own = folders.flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(root, folder, name)));
  const inputs = includedBy(
    own.filter((file) => file.endsWith('.c')),
    [],
  );
  const wanted = inputs.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/#include "([^"]+)"/g)].map(([, name]) => resolve(file, '..', name)),
  );
  expect(wanted.length).toBeGreaterThan(0);
  for (const header of wanted) expect(inputs).toContain(header);
});

test("the shim's contract is an input of the addon", () => {
  const { folders } = NATIVE_OUTPUTS.find(({ file }) => file.endsWith('native.node'))!;
  const sources = folders.flatMap((folder) =>
    readdirSync(join(root, folder)).flatMap((name) => (name.endsWith('.c') ? [join(root, folder, name)] : [])),
  );
  expect(includedBy(sources, [])).toContain(join(root, 'src/shim/abi.h'));
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
