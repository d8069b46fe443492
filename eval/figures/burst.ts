/** The load on a service rises tenfold in one step, and nobody orders anything. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../../test/support/cluster';
import { python } from '../../test/support/guests';
import { absolute, type Evaluation, ratio } from '../lib/figures';

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

/** Seconds that the boot of an instance takes here. The papers' takes 45 s: it is scaled to a fifth, and really waited for. */
const BOOT = 9;

export const burst: Evaluation = {
  name: 'burst',
  title: 'Burst: tenfold load on a service of two instances, on network nat',
  run: async (progress) => {
    const server = (seconds: number) => [python, 'burst_server.py', '7000', String(seconds)];
    const instances = ['steady-0', 'steady-1'];
    const names = (kind: string) => Array.from({ length: 10 }, (_, i) => `${kind}-${i}`);
    const host = (name: string) => ({ name, command: server(START), idleTimeout: 60_000 });
    const slow = (name: string) => ({ name, command: server(BOOT + START), idleTimeout: 60_000 });
    const service = (name: string, hosts: readonly string[]) => ({ name, hosts, instances, maxConnections: EACH });
    const cluster = await bootCluster(
      [
        ...instances.map((name) => ({ name, kind: 'instance' as const })),
        ...[...names('other'), 'cold', 'colder'].map(host),
        ...names('vm').map(slow),
      ],
      {
        name: 'eval-burst',
        upArguments: ['--network', 'nat'],
        services: [service('web', names('other')), service('booting', names('vm'))],
        files: programs('burst_server.py', 'burst_load.py'),
      },
    );
    try {
      progress('two instances join');
      const program = join(cluster.folder, 'burst_server.py');
      for (const name of instances) cluster.follow(['join', '--name', name, '--', python, program, '7000', '0']);
      for (const name of instances) {
        await cluster.waitFor(({ host: of, event }) => of === name && event === 'running');
      }
      progress('cold starts');
      const cold = Math.min(await said<number>(cluster, 'cold'), await said<number>(cluster, 'colder'));
      progress('the burst');
      const spilt = await burstOf(cluster, 'web', AFTER);
      const running = (await cluster.ps()).filter(({ name, state }) => state === 'running' && /^(st|ot)/.test(name));
      progress('the same, with all hosts running before');
      const ready = await burstOf(cluster, 'web', AFTER);
      progress('the same, with hosts that boot as instances do');
      const booted = await burstOf(cluster, 'booting', AFTER + BOOT);
      return [
        ratio('until throughput is steady, against one cold start', 's', spilt.steady, cold, { most: 1.5 }),
        ratio('throughput after, against before the step', '1/s', spilt.last, spilt.before, { least: 8 }),
        absolute('hosts that run in the end', '', running.length, null),
        ratio('until steady, against overprovisioned', 's', spilt.steady, ready.steady, null),
        ratio(`until steady, against boots of ${BOOT} s`, 's', spilt.steady, booted.steady, null),
        ratio('throughput after, against overprovisioned', '1/s', spilt.last, ready.last, null),
      ];
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

/** One step of the load. `steady`: seconds until throughput is; `before` and `last`: answers a second. */
async function burstOf(cluster: TestCluster, service: string, after: number) {
  const seen = await said<{ answers: number[]; failed: string[] }>(cluster, service, CLIENTS, BEFORE, after);
  if (seen.failed.length > 0) throw new Error(`requests failed: ${seen.failed.join(', ')}`);
  const rate = (from: number, length: number) =>
    seen.answers.filter((at) => at >= from && at < from + length).length / length;
  const last = rate(after - 4, 4);
  const starts = Array.from({ length: (after - STRETCH) * 20 }, (_, i) => i / 20);
  const first = starts.find((from) => rate(from, STRETCH) >= STEADY * last) ?? Number.NaN;
  // Until the end of the first stretch that is steady, less half of it: that is where its rate is reached.
  return { steady: first + STRETCH / 2, last, before: rate(-2, 2) };
}
