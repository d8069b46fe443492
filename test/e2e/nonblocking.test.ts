import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');
const python = '/usr/bin/python3';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      { name: 'slow', command: [python, 'echo.py', '7000', '1'] },
      { name: 'exits', command: [python, '-c', 'import time; time.sleep(1)'] },
    ],
    { files: { 'echo.py': guest('echo.py'), 'nonblocking.py': guest('nonblocking.py') } },
  );
});
afterAll(() => cluster?.dispose());

const ways = ['epollBefore', 'epollEdgeBefore', 'epollAfter', 'epollEdgeAfter', 'poll', 'select', 'asyncio'];

async function connectAllWays(host: string) {
  const run = await cluster.exec([python, join(cluster.folder, 'nonblocking.py'), host, '7000']);
  expect(run.stderr).toBe('');
  return JSON.parse(run.stdout) as Record<
    string,
    { error: string | number; data?: string; connectMs?: number; ticks?: number }
  >;
}

test('a non-blocking connect to an imagined host blocks nobody and completes when the guest listens', async () => {
  const results = await connectAllWays('slow');
  for (const way of ways)
    expect([way, results[way]]).toEqual([way, expect.objectContaining({ error: 0, data: 'ping\n' })]);
  // The guest sleeps a second before it listens: the event loop and the other threads ran all that time.
  for (const way of ways.slice(0, -1)) expect(results[way].connectMs).toBeLessThan(250);
  expect(results.asyncio.ticks).toBeGreaterThan(30);
});

test('the same to a host that runs by now', async () => {
  const results = await connectAllWays('slow');
  for (const way of ways)
    expect([way, results[way]]).toEqual([way, expect.objectContaining({ error: 0, data: 'ping\n' })]);
});

test('a guest that exits without listening: ECONNREFUSED by SO_ERROR, in every way of waiting', async () => {
  const results = await connectAllWays('exits');
  for (const way of ways)
    expect([way, results[way]]).toEqual([way, expect.objectContaining({ error: 'ECONNREFUSED' })]);
});
