import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NetworkChoice } from '../../src/local';
import { bootCold } from '../lib/cold';
import { build, inCluster } from '../lib/programs';
import { absoluteRow, median, ratioRow, type Suite } from '../lib/rows';
import { stepRows, stepsOf } from '../lib/steps';

const HOSTS = 30;
/** An address of its own: on network `flat` all hosts are on one machine. */
const BARE = ['127.3.2.1', '7000'];

const STEPS = ['allocating', 'invoked', 'joined', 'guest-started', 'listening', 'connected'] as const;

/** From a connect to an imagined host to its first byte, beyond what a bare sandbox and a bare guest need to start. */
export const allocate: Suite = {
  name: 'allocate',
  title: 'Allocation on connect, beyond the cold start of a bare sandbox and of the bare guest',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    try {
      const programs = { server: build('ttfb-server', folder), client: build('ttfb-client', folder) };
      const best = await allocateOn('auto', programs, progress);
      // What a machine without privileges has.
      const others = best.kind === 'flat' ? [] : (await allocateOn('flat', programs, progress)).rows;
      return [...best.rows, ...others];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function allocateOn(
  network: NetworkChoice,
  { server, client }: { readonly server: string; readonly client: string },
  progress: (text: string) => void,
) {
  const cold = await bootCold(HOSTS, server, ['0.0.0.0', '7000'], {}, network);
  const { kind } = cold.platform.info.network;
  try {
    const firstByte: number[] = [];
    const sandbox: number[] = [];
    const guest: number[] = [];
    for (let i = 0; i < HOSTS; i++) {
      progress(`${kind}: allocation ${i + 1} of ${HOSTS}`);
      sandbox.push(await cold.bareStart(i));
      guest.push(await cold.bareGuest(i, BARE));
      firstByte.push((await inCluster(cold.cluster, [client, `host-${i}`, '7000', '1', '0'])).median / 1000);
    }
    const whole = median(firstByte);
    const bare = median(sandbox) + median(guest);
    const beyond = firstByte.map((took, i) => took - sandbox[i] - guest[i]);
    const events = await cold.cluster.events();
    const taken = firstByte.flatMap((_, i) => stepsOf(events, `host-${i}`, STEPS));
    const rows = [
      absoluteRow(`${kind}: bare sandbox: invoke to handler, median`, 'ms', median(sandbox), null),
      absoluteRow(
        `${kind}: bare guest, natively in such a sandbox: start to listening, median`,
        'ms',
        median(guest),
        null,
      ),
      ratioRow(`${kind}: connect to first byte on an imagined host, median`, 'ms', whole, bare, null),
      absoluteRow(`${kind}: allocate-on-connect, beyond both: median of the pairs`, 'ms', median(beyond), 20),
      ...stepRows(`${kind}: of it, `, STEPS, taken, whole),
    ];
    return { kind, rows };
  } finally {
    await cold.dispose();
  }
}
