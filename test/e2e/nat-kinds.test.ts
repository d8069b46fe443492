/**
 * Connections of guests over network `nat`, for each kind of NAT: all of them work, and in the best way that can work. More of them
 * in `bench kinds`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';
const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');
const files = {
  'echo.py': guest('echo.py'),
  'dial.py': guest('dial.py'),
  'errand.py': readFileSync(join(__dirname, '../guests/errand.py'), 'utf8'),
};
const hosts = [
  { name: 'echo', command: [python, 'echo.py', '7000'] },
  { name: 'other', command: [python, 'errand.py', 'serve'] },
];

/** Who the connections come from: a client (`exec`), or a guest of another host. */
type From = 'client' | 'other';

async function dial(cluster: TestCluster, from: From, count: number, parallel = 1) {
  const file = from === 'client' ? join(cluster.folder, 'dial.py') : 'dial.py';
  const command = [python, file, 'echo', '7000', String(count), String(parallel)];
  const errand = [python, join(cluster.folder, 'errand.py'), 'ask', 'other', ...command];
  const run = await cluster.exec(from === 'client' ? command : errand, { timeout: 120_000 });
  expect(run).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(run.stdout);
}

/** How connections came to `echo`, as its supervisor tells, and how many the seed has relayed. */
async function carriedTo(cluster: TestCluster) {
  const events = await cluster.events();
  const carried = events.filter((e) => e.host === 'echo' && e.event === 'carried').map(({ detail }) => detail);
  const relayed = events.filter((e) => e.event === 'relay-started').length;
  return {
    ways: [...new Set(carried.map(({ by }) => by))],
    reasons: carried.flatMap(({ reason }) => reason ?? []),
    relayed,
  };
}

describe.each([
  { kind: 'preserving', nat: ['preserving'], by: 'punched' },
  { kind: 'changing', nat: ['changing'], by: 'punched' },
  { kind: 'shared', nat: ['shared'], by: 'punched' },
  { kind: 'shared and changing', nat: ['shared+changing'], by: 'punched' },
  { kind: 'symmetric', nat: ['symmetric'], by: 'relayed' },
  { kind: 'symmetric at one side', nat: ['echo=symmetric'], by: 'relayed' },
])('$kind', ({ nat, by }) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster(hosts, {
      files,
      upArguments: ['--network', 'nat', ...nat.flatMap((n) => ['--nat', n])],
    });
  });
  afterAll(() => cluster?.dispose());

  test.each<From>(['client', 'other'])('64 first connections at once, from %s', async (from) => {
    expect(await dial(cluster, from, 1, 64)).toEqual({ ok: 64, failed: [] });
  });

  test.each<From>(['client', 'other'])('200 connections in a row, from %s', async (from) => {
    expect(await dial(cluster, from, 200)).toEqual({ ok: 200, failed: [] });
  });

  test(`they were ${by}`, async () => {
    const { ways, reasons, relayed } = await carriedTo(cluster);
    if (by === 'relayed') expect(ways).toEqual(['relayed']);
    else expect(ways).toContain('punched');
    // A machine that is too slow for a punch's two seconds relays, and says that: nothing else is a reason to.
    if (!ways.includes('relayed')) expect(relayed).toBe(0);
    for (const reason of reasons)
      expect(reason).toMatch(
        by === 'relayed'
          ? /its NAT maps ports differently for every destination/
          : /ETIMEDOUT|did not answer|no answer/,
      );
    expect(await cluster.host('echo')).toMatchObject({ allocations: 1, state: 'running' });
  });
});
