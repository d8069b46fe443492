import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootCluster } from '../../test/support/cluster';
import { build, inCluster, native, type Stats, serve } from '../lib/programs';
import { median, type Row, ratioRow, type Suite } from '../lib/rows';

const ROUNDS = 9;
const CONNECTS = 3000;
const WARMUP = 300;

/** Time to first byte of a new connection to a host that runs: native and `direct`, in turn. */
export const connect: Suite = {
  name: 'connect',
  title: 'Time to first byte of a new connection, native vs direct',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const server = build('ttfb-server', folder);
    const client = build('ttfb-client', folder);
    const cluster = await bootCluster([{ name: 'server', command: ['/var/task/ttfb-server', '0.0.0.0', '7000'] }]);
    copyFileSync(server, join(cluster.folder, 'ttfb-server'));
    chmodSync(join(cluster.folder, 'ttfb-server'), 0o755);
    // The native pair has the same path: one loopback address to another.
    const stop = await serve([server, '127.3.2.1', '7000']);
    try {
      const pairs: Array<{ native: Stats; direct: Stats }> = [];
      const args = ['7000', String(CONNECTS), String(WARMUP)];
      await inCluster(cluster, [client, 'server', '7000', '1', '0']);
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`round ${round} of ${ROUNDS}`);
        pairs.push({
          native: native([client, '127.3.2.1', ...args]),
          direct: await inCluster(cluster, [client, 'server', ...args]),
        });
      }
      return (['median', 'p99'] as const).map((figure): Row => {
        const value = median(pairs.map((p) => p.direct[figure]));
        const baseline = median(pairs.map((p) => p.native[figure]));
        const ratio = median(pairs.map((p) => p.direct[figure] / p.native[figure]));
        const row = ratioRow(
          `time to first byte, direct, ${figure}`,
          'µs',
          value,
          baseline,
          figure === 'median' ? 1.05 : 3,
        );
        return { ...row, ratio, within: ratio <= row.budget! };
      });
    } finally {
      stop();
      await cluster.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
