/** Two seeds as processes, and the lease between them: who waits, who serves, and how one ends. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../../../support/eventually';
import { freePort, type SeedProcesses, seedProcesses } from '../processes';
import { type FaultyTable, faultyTable } from './faulty-table';

let seeds: SeedProcesses;
let table: FaultyTable;
let ports: readonly [number, number];

beforeAll(async () => {
  seeds = await seedProcesses();
}, 30_000);
beforeEach(async () => {
  table = await faultyTable();
  ports = [await freePort(), await freePort()];
});
afterEach(async () => {
  seeds.kill();
  await table.close();
});
afterAll(() => seeds.close());

const address = (which: 0 | 1) => `127.0.0.1:${ports[which]}`;

/** @param duration of its leases, in milliseconds. So long a time that passes in no test: its end is not what happens */
function start(which: 0 | 1, { duration = 60_000, way = table.endpoint, more = [] as string[] } = {}) {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
  const standby = [
    ...['--standby', address(which === 0 ? 1 : 0), '--lease-table', 'leases', '--dynamodb-endpoint', way],
    ...['--lease-time', String(duration), ...more],
  ];
  return seeds.run(seeds.flags(ports[which], '--grace', '0', ...standby), { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
}

test('SIGTERM of the one that serves: the other one takes over at once, and members go there', async () => {
  const first = start(0, { duration: 15_000 });
  expect(await first.line('seed-started')).toMatchObject({ lease: 1, standby: address(1), graceMs: 0 });
  const second = start(1, { duration: 15_000 });
  await second.line('standing by');
  const client = await seeds.client(address(0), address(1));
  first.child.kill('SIGTERM');
  expect(await first.ended).toBe(0);
  const ended = performance.now();
  // Members of the first may be on their way.
  expect(await second.line('seed-started')).toMatchObject({ lease: 2, standby: address(0), graceMs: 3_000 });
  // By its end, the lease would have lasted 12 s more at the least.
  expect(performance.now() - ended).toBeLessThan(10_000);
  await expect(client.locate('nobody', 80)).rejects.toMatchObject({ errno: 'EHOSTUNREACH' });
  client.close();
}, 20_000);

test.each(['SIGTERM', 'SIGINT'] as const)('%s of the one that waits ends it; SIGHUP does not', async (signal) => {
  const first = start(0);
  await first.line('seed-started');
  const second = start(1);
  await second.line('standing by');
  second.child.kill('SIGHUP');
  second.child.kill(signal);
  expect(await second.ended).toBe(0);
  expect(second.lines.map(({ message }) => message)).toEqual(['standing by']);
  expect(first.child.exitCode).toBeNull();
});

test('the one that serves cannot renew its lease: it ends itself before the other one serves', async () => {
  const first = start(0, { duration: 2_000 });
  await first.line('seed-started');
  const client = await seeds.client(address(0), address(1));
  // Only the first one's way to the table is broken.
  const second = start(1, { duration: 2_000, way: table.direct });
  await second.line('standing by');
  table.faults(() => 'request lost');
  expect(await first.ended).toBe(3);
  expect(second.lines.some(({ message }) => message === 'seed-started')).toBe(false);
  expect(first.lines.at(-1)).toMatchObject({
    level: 'error',
    message: 'the lease is lost: it was not renewed in time',
    time: expect.any(String),
  });
  expect(await second.line('seed-started')).toMatchObject({ lease: 2 });
  await expect(client.locate('nobody', 80)).rejects.toMatchObject({ errno: 'EHOSTUNREACH' });
  client.close();
}, 20_000);

test('a stop that is shorter than the lease changes nothing', async () => {
  const first = start(0, { duration: 10_000 });
  await first.line('seed-started');
  const second = start(1, { duration: 10_000 });
  await second.line('standing by');
  let renewals = 0;
  table.faults((what) => {
    renewals += what === 'PutItem' ? 1 : 0;
    return undefined;
  });
  await eventually(() => renewals > 0);
  first.child.kill('SIGSTOP');
  first.child.kill('SIGCONT');
  const before = renewals;
  await eventually(() => renewals > before + 1);
  const client = await seeds.client(address(0), address(1));
  await expect(client.locate('nobody', 80)).rejects.toMatchObject({ errno: 'EHOSTUNREACH' });
  expect(second.lines.map(({ message }) => message)).toEqual(['standing by']);
  client.close();
}, 20_000);

test('one that could not serve does not take the lease: its key is wrong', async () => {
  const short = join(seeds.folder, 'short');
  writeFileSync(short, 'short');
  const bad = start(0, { more: ['--key-file', short] });
  expect(await bad.ended).toBe(2);
  expect(bad.stderr()).toContain('the cluster key has 5 characters');
  expect(await start(1).line('seed-started')).toMatchObject({ lease: 1 });
});

test('one that cannot serve gives the lease back: its port is taken', async () => {
  const taken = createServer();
  await new Promise<void>((listening) => taken.listen(ports[0], '127.0.0.1', listening));
  const bad = start(0);
  expect(await bad.ended).toBe(2);
  expect(bad.stderr()).toContain(`--listen is '${address(0)}': listen EADDRINUSE`);
  expect(await start(1).line('seed-started')).toMatchObject({ lease: 2 });
  taken.close();
});
