import { type Distribution, distributionTable, drawDistributions, mean, quantile } from '../lib/distribution';
import { type Measured, waysTo, withPaths } from '../lib/path';
import { keep, loadNote } from '../lib/results';
import { absoluteRow, type Row, ratioRow, type Suite } from '../lib/rows';

const PAIRS = 32;
const CONNECTS = 1024;
const PINGS = 16;

const NAMES = { native: 'native, static forward', pooled: 'ours, pooled', open: 'ours, simultaneous open' } as const;
type Way = keyof typeof NAMES;

/**
 * The measurement of the Boxer papers: 32 distinct pairs, each makes 1,024 connections. Here the pairs have their turns
 * on one machine.
 */
export const pairs: Suite = {
  name: 'pairs',
  title: `${PAIRS} pairs, ${CONNECTS} connections each, as in the papers: time to first byte and round trip, through two NATs`,
  run: (progress) =>
    withPaths(PAIRS, [], async (paths) => {
      const connects: Record<Way, number[]> = { native: [], pooled: [], open: [] };
      const pings: Record<Way, number[]> = { native: [], pooled: [], open: [] };
      const failures: Record<Way, number> = { native: 0, pooled: 0, open: 0 };
      const take = (to: Record<Way, number[]>, way: Way, { samples, failed }: Measured) => {
        for (const sample of samples) to[way].push(sample);
        failures[way] += failed;
      };
      for (let pair = 0; pair < PAIRS; pair++) {
        progress(`pair ${pair + 1} of ${PAIRS}`);
        const ways = await waysTo(paths, `server-${pair}`);
        for (const way of ['native', 'pooled', 'open'] as const) {
          take(connects, way, await ways[way].measure(`connect ${CONNECTS} blocking`));
          take(pings, way, await ways[way].measure(`ping ${PINGS} 128 1024`));
        }
        await ways.close();
      }
      const named = (of: Record<Way, number[]>): Distribution[] =>
        (['native', 'pooled', 'open'] as const).map((way) => ({ name: NAMES[way], samples: of[way] }));
      keep(
        'pairs-distributions.md',
        [
          `# ${pairs.title}`,
          `\n${loadNote()} All in microseconds; 0 ms of added delay.\n\n## Time to first byte\n`,
          distributionTable(named(connects)),
          '\n## Round trip of 1 KiB, mean of 128\n',
          distributionTable(named(pings)),
          '',
        ].join('\n'),
      );
      keep(
        'pairs.svg',
        drawDistributions('Empirical distributions, 32 pairs through two NATs each', [
          { title: `Time to first byte, ${CONNECTS} connections of each pair`, distributions: named(connects) },
          { title: `Round trip of 1 KiB, mean of 128, ${PINGS} of each pair`, distributions: named(pings) },
        ]),
      );
      const rows: Row[] = [];
      for (const way of ['pooled', 'open'] as const) {
        const row = (name: string, figure: (samples: readonly number[]) => number) =>
          rows.push(
            ratioRow(
              `time to first byte, ${NAMES[way]}, ${name}`,
              'µs',
              figure(connects[way]),
              figure(connects.native),
              null,
            ),
          );
        row('mean', mean);
        row('median', (samples) => quantile(samples, 0.5));
        row('p99.9', (samples) => quantile(samples, 0.999));
        rows.push(absoluteRow(`failures, ${NAMES[way]}, of ${PAIRS * CONNECTS}`, '', failures[way], 0));
      }
      return rows;
    }),
};
