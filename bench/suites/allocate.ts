import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootCold } from '../lib/cold';
import { build, inCluster } from '../lib/programs';
import { absoluteRow, median, ratioRow, type Suite } from '../lib/rows';

const HOSTS = 30;

/** From a connect to an imagined host to its first byte, beyond what a bare sandbox and a bare guest need to start. */
export const allocate: Suite = {
  name: 'allocate',
  title: 'Allocation on connect, beyond the cold start of a bare sandbox and of the bare guest',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const server = build('ttfb-server', folder);
    const client = build('ttfb-client', folder);
    const cold = await bootCold(HOSTS, server, ['0.0.0.0', '7000']);
    try {
      const firstByte: number[] = [];
      const sandbox: number[] = [];
      const guest: number[] = [];
      for (let i = 0; i < HOSTS; i++) {
        progress(`allocation ${i + 1} of ${HOSTS}`);
        sandbox.push(await cold.bareStart(i));
        guest.push(await cold.bareGuest(i));
        firstByte.push((await inCluster(cold.cluster, [client, `host-${i}`, '7000', '1', '0'])).median / 1000);
      }
      const bare = median(sandbox) + median(guest);
      const beyond = firstByte.map((took, i) => took - sandbox[i] - guest[i]);
      return [
        absoluteRow('bare sandbox: invoke to handler, median', 'ms', median(sandbox), null),
        absoluteRow('bare guest: started natively in such a sandbox, to listening, median', 'ms', median(guest), null),
        ratioRow('connect to first byte on an imagined host, median', 'ms', median(firstByte), bare, null),
        absoluteRow('allocate-on-connect, beyond both: median of the pairs', 'ms', median(beyond), 20),
      ];
    } finally {
      await cold.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
