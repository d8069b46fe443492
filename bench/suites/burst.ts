/**
 * A hundred hosts that are asked for at once, all imagined: from the first locate until the last guest listens. The
 * baseline is the same platform in the same run, in turn: as many functions with an empty handler, invoked at once.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLIENT_IDENTITY, joinSecret, parseClusterKeys } from '../../src/contract/control/psk';
import { openSession } from '../../src/runtime/control/index';
import { bootCold, type ColdPlatform } from '../lib/cold';
import { build } from '../lib/programs';
import { absoluteRow, median, ratioRow, type Suite } from '../lib/rows';

const HOSTS = 100;
const ROUNDS = 3;
/** One of them, so that what the platform loads with the first is loaded. */
const WARM = HOSTS;
const all = Array.from({ length: HOSTS }, (_, i) => i);

/** Milliseconds until all of it is done. */
async function timed(act: (i: number) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await Promise.all(all.map(act));
  return performance.now() - start;
}

async function hosts({ platform }: ColdPlatform): Promise<number> {
  const { seed, keyFile, cluster, network } = platform.info;
  const [key] = parseClusterKeys(readFileSync(keyFile, 'utf8'));
  const session = await openSession({
    seed,
    path: network.kind === 'nat' ? network.operators : undefined,
    identity: CLIENT_IDENTITY,
    secret: joinSecret(key, cluster, CLIENT_IDENTITY),
    join: () => ({ ports: [] }),
    onLocation: () => undefined,
    onStop: () => undefined,
  });
  try {
    await session.locate(`host-${WARM}`, 7_000);
    return await timed((i) => session.locate(`host-${i}`, 7_000));
  } finally {
    session.close();
  }
}

async function bare(cold: ColdPlatform): Promise<number> {
  await cold.bareStart(WARM);
  return timed(cold.bareStart);
}

export const burst: Suite = {
  name: 'burst',
  title: `${HOSTS} hosts that are asked for at once, until all listen; baseline: as many bare sandboxes`,
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const server = build('ttfb-server', folder);
    const times: { hosts: number[]; bare: number[] } = { hosts: [], bare: [] };
    try {
      for (let i = 0; i < ROUNDS; i++) {
        for (const [what, act] of [
          ['bare', bare],
          ['hosts', hosts],
        ] as const) {
          progress(`round ${i + 1} of ${ROUNDS}: ${what}`);
          // A platform of its own: none starts a sandbox beside those that another one has left.
          const cold = await bootCold(HOSTS + 1, server, ['0.0.0.0', '7000'], { allocationTimeout: 120_000 });
          try {
            times[what].push(await act(cold));
          } finally {
            await cold.dispose();
          }
        }
      }
      return [
        ratioRow(
          'asked for at once, until the last is there: median',
          'ms',
          median(times.hosts),
          median(times.bare),
          1.5,
        ),
        absoluteRow('the same, each', 'ms', median(times.hosts) / HOSTS, null),
        absoluteRow('bare sandboxes, each', 'ms', median(times.bare) / HOSTS, null),
      ];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
