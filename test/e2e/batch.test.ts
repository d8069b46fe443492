/** The example of a batch: one connect allocates all workers, and none begins before all are there. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { finish } from '../support/cluster';

const CLI = resolve(__dirname, '../../assets/cli/imaginary.js');
const state = mkdtempSync(join(tmpdir(), 'imaginary-batch-'));
const imaginary = (command: string, ...rest: string[]) =>
  finish(
    spawn(process.execPath, [CLI, command, '--state', state, ...rest], {
      cwd: resolve(__dirname, '../../examples/batch'),
      env: { ...process.env, NO_COLOR: '1' },
    }),
    command,
    { timeout: 60_000 },
  );
afterAll(async () => {
  await imaginary('down');
  rmSync(state, { recursive: true, force: true });
});

test('four workers, one connect', async () => {
  expect(await imaginary('up')).toMatchObject({ code: 0 });
  const { stdout } = await imaginary('exec', '--', 'curl', '-sS', '--max-time', '30', 'http://worker-0/');
  const [, sum, shares] = /^(\d+) primes below 200000: ([\d +]+)\n$/.exec(stdout) ?? [];
  expect(Number(sum)).toBe(17_984);
  expect(shares.split(' + ')).toHaveLength(4);

  const events: ClusterEvent[] = (await imaginary('events', '--json')).stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const workers = [0, 1, 2, 3].map((i) => `worker-${i}`);
  const of = (event: string) => events.flatMap((e, i) => (e.event === event ? [{ i, ...e }] : []));
  expect(
    of('allocating')
      .map(({ host }) => host)
      .sort(),
  ).toEqual(workers);
  const lastJoin = Math.max(...of('joined').map(({ i }) => i));
  const starts = of('guest-started');
  expect(starts.map(({ host }) => host).sort()).toEqual(workers);
  for (const { i } of starts) expect(i).toBeGreaterThan(lastJoin);
});
