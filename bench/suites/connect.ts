import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bootCluster } from '../../test/support/cluster';
import { build, inCluster, native, type Stats, serve } from '../lib/programs';
import { median, type Row, ratioRow, type Suite } from '../lib/rows';
import { connectNat } from './connect-nat';

const ROUNDS = 9;
const CONNECTS = 3000;
const WARMUP = 300;
const LAUNCHER = resolve(__dirname, `../../assets/native/${process.arch === 'arm64' ? 'arm64' : 'x86_64'}/sandbox`);

/**
 * Where the two programs run decides more than anything else (22 µs on one core, 46 µs on two), so they are pinned, and
 * both cases are measured: a core each, as two hosts have; one core, where nothing hides what we add.
 */
const PLACES = [
  { name: 'a core each', client: '1' },
  { name: 'one core', client: '0' },
];

/** Time to first byte of a new connection to a host that runs: native and ours, in turn. */
export const connect: Suite = {
  name: 'connect',
  title: 'Time to first byte of a new connection, native vs direct, pooled and simultaneous open',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const client = build('ttfb-client', folder);
    const cluster = await bootCluster(
      [{ name: 'server', command: ['taskset', '-c', '0', '/var/task/ttfb-server', '0.0.0.0', '7000'] }],
      { upArguments: ['--network', 'flat'] },
    );
    build('ttfb-server', cluster.folder);
    chmodSync(cluster.folder, 0o755); // for the sandbox's user
    // The native pair has the same path, one loopback address to another, and its server the same sandbox.
    const sandbox = [LAUNCHER, '--bind-ro', cluster.folder, '/var/task', '--', 'taskset', '-c', '0'];
    const stop = await serve([...sandbox, '/var/task/ttfb-server', '127.3.2.1', '7000']);
    try {
      await inCluster(cluster, [client, 'server', '7000', '1', '0']);
      const rows: Row[] = [];
      for (const place of PLACES) {
        const pinned = ['taskset', '-c', place.client, client];
        const args = ['7000', String(CONNECTS), String(WARMUP)];
        const pairs: Array<{ native: Stats; direct: Stats }> = [];
        for (let round = 1; round <= ROUNDS; round++) {
          progress(`${place.name}, round ${round} of ${ROUNDS}`);
          pairs.push({
            native: native([...pinned, '127.3.2.1', ...args]),
            direct: await inCluster(cluster, [...pinned, 'server', ...args]),
          });
        }
        rows.push(pairedRow(place.name, 'median', pairs, 1.05), pairedRow(place.name, 'p99', pairs, 3));
      }
      return [...rows, ...(await connectNat(progress))];
    } finally {
      stop();
      await cluster.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** The ratio is the median of the rounds' ratios: the machine's speed drifts between rounds, hardly within one. */
function pairedRow(
  place: string,
  figure: 'median' | 'p99',
  pairs: ReadonlyArray<{ native: Stats; direct: Stats }>,
  budget: number,
): Row {
  const value = median(pairs.map((p) => p.direct[figure]));
  const baseline = median(pairs.map((p) => p.native[figure]));
  const ratio = median(pairs.map((p) => p.direct[figure] / p.native[figure]));
  const row = ratioRow(`time to first byte, direct, ${place}, ${figure}`, 'µs', value, baseline, budget);
  return { ...row, ratio, within: ratio <= budget };
}
