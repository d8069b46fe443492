/** docs/transparency.md names every function that the shim exports in a libc's place, and no other. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildShim, root } from './harness';

jest.setTimeout(120_000);

/** The rows of all tables whose first column is `function`: that column, and the next. */
function rows(): Array<readonly [string, string]> {
  const found: Array<readonly [string, string]> = [];
  let inTable = false;
  for (const line of readFileSync(join(root, 'docs/transparency.md'), 'utf8').split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    if (cells[1] === 'function') inTable = true;
    else if (!line.startsWith('|')) inTable = false;
    else if (inTable && !cells[1].startsWith('---')) found.push([cells[1], cells[2]]);
  }
  return found;
}

/** Functions are in lower case; what else is in such a cell are options of theirs. */
const functionsIn = (cell: string) =>
  [...cell.matchAll(/`([^`]+)`/g)]
    .flatMap(([, text]) => text.split(' '))
    .filter((name) => /^(_IO_)?[a-z_][a-z0-9_]*$/.test(name));

const isInterposed = ([, what]: readonly [string, string]) => !what.startsWith('Not interposed');

async function exported(): Promise<string[]> {
  const names = new Set<string>();
  for (const variant of ['plain', 'musl'] as const) {
    const text = execFileSync('nm', ['-D', '--defined-only', await buildShim(variant)], { encoding: 'utf8' });
    for (const line of text.trim().split('\n')) names.add(line.split(' ')[2]);
  }
  return [...names].sort();
}

test('every interposed function is in the documentation, and what is said to be interposed is', async () => {
  const named = rows()
    .filter(isInterposed)
    .flatMap(([functions]) => functionsIn(functions));
  expect([...new Set(named)].sort()).toEqual(await exported());
});

test('what is said not to be interposed is not', async () => {
  const names = await exported();
  const others = rows()
    .filter((row) => !isInterposed(row))
    .flatMap(([functions]) => functionsIn(functions));
  expect(others.length).toBeGreaterThan(0);
  expect(others.filter((name) => names.includes(name))).toEqual([]);
});
