/** Operators find every event in docs/operating.md: what it means, and, where there is something to do, what. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { REPORTED_EVENTS } from '../../../../src/contract/control/to-seed';

const root = resolve(__dirname, '../../../..');
const seed = join(root, 'src/runtime/seed');

/** Names in calls that emit an event, as the source has them. */
const emitted = (readdirSync(seed, { recursive: true }) as string[])
  .filter((name) => name.endsWith('.ts') && !name.startsWith('model/'))
  .flatMap((name) => {
    const text = readFileSync(join(seed, name), 'utf8');
    return [...text.matchAll(/\bemit\(\s*(?:[\w.]+,\s*)?'([a-z-]+)'/g)].map(([, event]) => event);
  });

const guide = readFileSync(join(root, 'docs/operating.md'), 'utf8');
const [, meanings, actions] = guide.split(/^\| event \| .* \|$/m);
const eventsOf = (table: string) =>
  table
    .slice(0, table.search(/\n\n/))
    .split('\n')
    .flatMap((line) => [...(/^\| (.*?) \| /.exec(line)?.[1] ?? '').matchAll(/`([a-z-]+)`/g)].map(([, name]) => name));

const meant = new Set(eventsOf(meanings));

test('what is emitted was found', () => {
  expect(emitted).toEqual(
    expect.arrayContaining(['allocating', 'suspended', 'relay-started', 'seed-started', 'muted']),
  );
});

test.each([...new Set([...emitted, ...REPORTED_EVENTS])].sort())('%s has a meaning', (event) => {
  expect([...meant]).toContain(event);
});

describe('failures', () => {
  const [, table] = guide.split('| failure | what the caller gets | what you see | how it heals |\n');
  const rows = table
    .slice(0, table.search(/\n\n/))
    .split('\n')
    .slice(1)
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const kind = (row: readonly string[]) => row[1].split(':')[0].toLowerCase().replaceAll(' ', '-');
  const tests = readdirSync(join(root, 'test/e2e/failures')).map((name) => name.replace(/\.(test|long)\.ts$/, ''));

  test.each(tests)('%s is among them', (name) => {
    expect(rows.map(kind)).toContain(name);
  });

  test.each(rows.map((row) => [row[1], row] as const))(
    '%s: has its cells, its test, and events that there are',
    (_, row) => {
      expect(row.slice(1, -1).filter(Boolean)).toHaveLength(4);
      expect(tests).toContain(kind(row));
      const named = [...row[3].matchAll(/`([a-z-]+)`/g)].map(([, name]) => name);
      expect(named.length).toBeGreaterThan(0);
      const words = new Set(['errno', 'ps', 'fenced', 'adopted', 'always', 'on-failure']);
      expect(named.filter((name) => !meant.has(name) && !words.has(name))).toEqual([]);
    },
  );
});

test('what to do names events only', () => {
  const words = new Set(['errno', 'relayed', 'note', 'without', 'with']);
  expect(eventsOf(actions).filter((name) => !meant.has(name) && !words.has(name))).toEqual([]);
});
