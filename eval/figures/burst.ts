/** The load on a service rises tenfold in one step, and nobody orders anything. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../../test/support/cluster';
import { python } from '../../test/support/guests';
import { absolute, type Evaluation, type Figure, ratio } from '../lib/figures';

/** Seconds that a guest takes to start by itself. */
const START = 2;
/** Connections of one host at a time, and clients before the step. */
const EACH = 4;
const CLIENTS = 4;
const BEFORE = 4;
const AFTER = 14;
/** Throughput is steady from the first such stretch on (seconds) that has so much of what the last ones have. */
const STRETCH = 0.5;
const STEADY = 0.9;

export const burst: Evaluation = {
  name: 'burst',
  title: 'Burst: tenfold load on a service of two hosts that run, on network nat',
  run: async (progress) => {
    const command = [python, 'burst_server.py', '7000', String(START)];
    const steady = ['steady-0', 'steady-1'];
    const others = Array.from({ length: 10 }, (_, i) => `other-${i}`);
    const host = (name: string) => ({ name, command, idleTimeout: 60_000 });
    const cluster = await bootCluster([...steady, ...others, 'cold', 'colder'].map(host), {
      name: 'eval-burst',
      upArguments: ['--network', 'nat'],
      services: [{ name: 'web', hosts: [...steady, ...others], maxConnections: EACH }],
      files: programs('burst_server.py', 'burst_load.py'),
    });
    try {
      progress('cold starts');
      const cold = [await said<number>(cluster, 'cold'), await said<number>(cluster, 'colder')];
      for (const name of steady) await said<number>(cluster, name);
      progress('the burst');
      return await burstOf(cluster, Math.min(...cold));
    } finally {
      await cluster.dispose();
    }
  },
};

const programs = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, readFileSync(join(__dirname, '../programs', name), 'utf8')]));

async function said<T>(cluster: TestCluster, name: string, ...more: number[]): Promise<T> {
  const file = join(cluster.folder, 'burst_load.py');
  const run = await cluster.exec([python, file, name, '7000', ...more.map(String)], { timeout: 120_000 });
  if (run.code !== 0) throw new Error(`burst_load.py ${name}: exit ${run.code}\n${run.stderr}`);
  return JSON.parse(run.stdout) as T;
}

async function burstOf(cluster: TestCluster, cold: number): Promise<Figure[]> {
  const seen = await said<{ answers: number[]; failed: string[] }>(cluster, 'web', CLIENTS, BEFORE, AFTER);
  if (seen.failed.length > 0) throw new Error(`requests failed: ${seen.failed.join(', ')}`);
  const rate = (from: number, length: number) =>
    seen.answers.filter((at) => at >= from && at < from + length).length / length;
  const last = rate(AFTER - 4, 4);
  const starts = Array.from({ length: (AFTER - STRETCH) * 20 }, (_, i) => i / 20);
  const steady = starts.find((from) => rate(from, STRETCH) >= STEADY * last) ?? Number.NaN;
  const running = (await cluster.ps()).filter(({ name, state }) => state === 'running' && !name.startsWith('cold'));
  return [
    // Until the end of the first stretch that is steady, less half of it: that is where its rate is reached.
    ratio('until throughput is steady, against one cold start', 's', steady + STRETCH / 2, cold, { most: 1.5 }),
    ratio('throughput after, against before the step', '1/s', last, rate(-2, 2), { least: 8 }),
    absolute('hosts that run in the end', '', running.length, null),
  ];
}
