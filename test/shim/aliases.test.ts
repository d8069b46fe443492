/** Each name by which a libc exports a function that the shim stands for, the shim exports too. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { buildShim, muslLoader } from './harness';

jest.setTimeout(120_000);

/** Functions by their address. */
function functions(library: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const text = execFileSync('nm', ['-D', '--defined-only', library], { encoding: 'utf8' });
  for (const line of text.trim().split('\n')) {
    const [address, kind, name] = line.split(' ');
    if (!/^[TtWi]$/.test(kind)) continue;
    const names = found.get(address) ?? new Set();
    names.add(name.replace(/@.*/, ''));
    found.set(address, names);
  }
  return found;
}

/** glibc, where this process has it. */
const glibc = /\S*\/libc\.so\.6$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0];

test.each([
  ['plain', glibc],
  ['musl', existsSync(muslLoader) ? muslLoader : undefined],
] as const)('%s', async (variant, library) => {
  if (!library) return;
  const ours = new Set([...functions(await buildShim(variant)).values()].flatMap((names) => [...names]));
  const sets = [...functions(library).values()].filter((names) => [...names].some((name) => ours.has(name)));
  expect(sets.length).toBeGreaterThan(50);
  expect(sets.flatMap((names) => [...names].filter((name) => !ours.has(name)))).toEqual([]);
});
