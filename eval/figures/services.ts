/** What the choice of a service's host costs a connect, and how even the load is. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../../test/support/cluster';
import { guestFiles, python } from '../../test/support/guests';
import { absolute, type Evaluation, type Figure } from '../lib/figures';

const HOSTS = ['a', 'b', 'c', 'd'];
/** Clients: members, and connections that each of them has open at a time. */
const MEMBERS = 4;
const EACH = 16;
const CONNECTS = 1_000;
const WARM = 5;
const SECONDS = 10;
/** 64 clients need all four, and fill none. */
const MAX_CONNECTIONS = 20;
const TIMEOUT = { timeout: 120_000 };

export const services: Evaluation = {
  name: 'services',
  title: 'Services: added time of a connect, and balance over 4 hosts under 64 clients, on network nat',
  run: async (progress) => {
    const hosts = HOSTS.map((name) => ({ name, command: [python, 'echo.py', '7000'], idleTimeout: 60_000 }));
    const program = readFileSync(join(__dirname, '../programs/connects.py'), 'utf8');
    const cluster = await bootCluster(hosts, {
      name: 'eval-services',
      upArguments: ['--network', 'nat'],
      services: [{ name: 'web', hosts: HOSTS, maxConnections: MAX_CONNECTIONS }],
      files: { ...guestFiles('echo.py'), 'connects.py': program },
    });
    try {
      progress('balance');
      const balance = await balanceOf(cluster);
      progress('added time');
      return [await addedTime(cluster), balance];
    } finally {
      await cluster.dispose();
    }
  },
};

/** Runs the program as a client, and reads what it says. */
async function said<T>(cluster: TestCluster, ...argumentsOf: readonly (string | number)[]): Promise<T> {
  const file = join(cluster.folder, 'connects.py');
  const run = await cluster.exec([python, file, ...argumentsOf.map(String)], TIMEOUT);
  if (run.code !== 0) throw new Error(`connects.py: exit ${run.code}\n${run.stderr}`);
  return JSON.parse(run.stdout) as T;
}

async function addedTime(cluster: TestCluster): Promise<Figure> {
  const took = await said<{ host: number[]; service: number[] }>(cluster, 'time', 'a', 'web', 7_000, CONNECTS);
  const [value, reference] = [median(took.service), median(took.host)];
  const what = 'connect to a service, beyond one to a host (median)';
  return { what, unit: 'µs', value, reference, figure: value - reference, reach: { most: 50 } };
}

async function balanceOf(cluster: TestCluster): Promise<Figure> {
  const one = () =>
    said<{ hosts: Record<string, number>; failed: string[] }>(cluster, 'load', 'web', 7_000, EACH, WARM, SECONDS);
  const all = await Promise.all(Array.from({ length: MEMBERS }, one));
  const failed = all.flatMap((client) => client.failed);
  if (failed.length > 0) throw new Error(`connects failed: ${failed.join(', ')}`);
  const counts = new Map<string, number>();
  for (const { hosts } of all) {
    for (const [host, count] of Object.entries(hosts)) counts.set(host, (counts.get(host) ?? 0) + count);
  }
  const served = [...counts.values()];
  const least = served.length < HOSTS.length ? 0 : Math.min(...served);
  return absolute('connections of the busiest host / of the least busy one', '', Math.max(...served) / least, {
    most: 1.3,
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
