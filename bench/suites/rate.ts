/**
 * How many allocations a second one seed does, where the platform costs nothing: everything from a locate to the
 * release of the host is counted, the Invoke request and the authenticated join of the host's control connection too.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { quantile } from '../lib/distribution';
import { type Server, settled, startServer } from '../lib/measured';
import { absoluteRow, median, rateRow, type Suite } from '../lib/rows';
import type { Allocated, Order } from '../programs/rate-hosts';

const HOSTS = 1_000;
const AT_ONCE = 16;
const WARM = 1_000;
const ROUNDS = 5;
const EACH = 1_000;
/** Allocations a second, on one core. */
const LEAST = 500;
const MINUTE_LIMIT = 100_000;
const PORT = 9_712;
const KEY = 'a cluster key for benchmarks only';
const SEED = resolve(__dirname, '../../assets/seed/seed.js');

function writeManifest(folder: string): void {
  const hosts = Array.from({ length: HOSTS }, (_, i) => ({
    name: `host-${i}`,
    address: `100.64.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`,
    functionName: `bench-host-${i}`,
    command: ['/var/task/guest'],
  }));
  const limits = { maxAllocationsPerMinute: MINUTE_LIMIT, maxAllocationsPerMinutePerMember: MINUTE_LIMIT };
  const manifest = { version: 1, cluster: { name: 'bench', limits }, hosts };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'key'), `${KEY}\n`);
}

/** The process that is platform, hosts and client. */
function startHosts(script: string): { order(order: Order): Promise<unknown>; end(): void } {
  const child: ChildProcess = fork(script, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return {
    order: (order) =>
      new Promise((done, fail) => {
        child.once('message', (message: { result?: unknown; error?: string }) =>
          message.error === undefined ? done(message.result) : fail(new Error(message.error)),
        );
        child.once('exit', (code) => fail(new Error(`the hosts' process has ended with ${code}`)));
        child.send(order);
      }),
    end: () => void child.kill(),
  };
}

export const rate: Suite = {
  name: 'rate',
  title: 'Allocations by one seed, platform excluded: locate, invoke, join, answer, leave, release',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const outfile = join(folder, 'rate-hosts.js');
    const entryPoints = [resolve(__dirname, '../programs/rate-hosts.ts')];
    buildSync({ entryPoints, outfile, bundle: true, platform: 'node', target: 'node20', logLevel: 'error' });
    const hosts = startHosts(outfile);
    let seed: Server | undefined;
    try {
      writeManifest(folder);
      const port = (await hosts.order({ do: 'listen' })) as number;
      const address = `127.0.0.1:${PORT}`;
      const args = [
        ...[...profile(), SEED, '--manifest', join(folder, 'manifest.json'), '--key-file', join(folder, 'key')],
        ...['--listen', address, '--address', address, '--grace', '0'],
        ...['--lambda-endpoint', `http://127.0.0.1:${port}`, '--region', 'us-east-1'],
      ];
      seed = await startServer(folder, args, 'seed-started');
      await hosts.order({ do: 'join', seed: address, key: KEY });
      await settled(seed);
      const allocate = (count: number) => hosts.order({ do: 'allocate', hosts: HOSTS, count, atOnce: AT_ONCE });
      progress('warm');
      await allocate(WARM);
      const [cpu, wall, other]: number[][] = [[], [], []];
      const times: number[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        progress(`round ${i + 1} of ${ROUNDS}`);
        const before = { cpu: seed.cpu(), at: performance.now() };
        const done = (await allocate(EACH)) as Allocated;
        wall.push((EACH * 1_000) / (performance.now() - before.at));
        cpu.push((seed.cpu() - before.cpu) / EACH);
        other.push(done.cpu / EACH);
        times.push(...done.times);
      }
      return [
        absoluteRow('seed CPU per allocation, median of rounds', 'ms', median(cpu), 1_000 / LEAST),
        rateRow(`allocations a second of one core (baseline: ${LEAST})`, '', 1_000 / median(cpu), LEAST, 1),
        absoluteRow(`allocations a second, hosts and client beside it, ${AT_ONCE} at once`, '', median(wall), null),
        absoluteRow('CPU of hosts and client per allocation', 'ms', median(other), null),
        absoluteRow('locate to answer: median', 'ms', median(times), null),
        absoluteRow('locate to answer: p99', 'ms', quantile(times, 0.99), null),
        absoluteRow('seed memory after all of them', 'MB', seed.memory() / 1_000, null),
      ];
    } finally {
      hosts.end();
      seed?.child.kill(process.env.BENCH_PROFILE ? 'SIGTERM' : 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** With `BENCH_PROFILE=FOLDER` the seed writes a CPU profile there. */
function profile(): string[] {
  const { BENCH_PROFILE } = process.env;
  return BENCH_PROFILE ? ['--cpu-prof', '--cpu-prof-dir', BENCH_PROFILE] : [];
}
