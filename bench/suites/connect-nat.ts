import { quantile } from '../lib/distribution';
import { must, waysTo, withPaths } from '../lib/path';
import { median, type Row, ratioRow } from '../lib/rows';

const ROUNDS = 7;
const CONNECTS = 300;
/** Round trip in ms; upper bounds of the ratios of the medians. */
const DISTANCES = [
  { rtt: 0, pooled: 2.5, open: 3.5 },
  { rtt: 0.7, pooled: 0.75, open: 1.2 },
];
const TAIL = 3;
const NAMES = { pooled: 'pooled', open: 'simultaneous open' } as const;

/** Through two NATs: native with a static forward, in turn with a guest's connections. */
export function connectNat(progress: (text: string) => void): Promise<Row[]> {
  return withPaths(1, [], async (paths) => {
    const ways = await waysTo(paths, 'server-0');
    const rows: Row[] = [];
    for (const distance of DISTANCES) {
      await paths.network.faults.delay(distance.rtt);
      for (const how of ['blocking', 'nonblocking']) {
        const rounds: Array<Record<'native' | 'pooled' | 'open', readonly number[]>> = [];
        for (let round = 1; round <= ROUNDS; round++) {
          progress(`through NATs, ${distance.rtt} ms, ${how}, round ${round} of ${ROUNDS}`);
          const command = `connect ${CONNECTS} ${how}`;
          rounds.push({
            native: await must(ways.native, command),
            pooled: await must(ways.pooled, command),
            open: await must(ways.open, command),
          });
        }
        for (const way of ['pooled', 'open'] as const) {
          const row = (name: string, part: number, budget: number) => {
            const ratio = median(rounds.map((r) => quantile(r[way], part) / quantile(r.native, part)));
            const value = median(rounds.map((r) => quantile(r[way], part)));
            const baseline = median(rounds.map((r) => quantile(r.native, part)));
            const metric = `time to first byte, ${NAMES[way]}, ${distance.rtt} ms RTT, ${how}, ${name} (n = ${ROUNDS * CONNECTS})`;
            return { ...ratioRow(metric, 'µs', value, baseline, budget), ratio, within: ratio <= budget };
          };
          rows.push(row('median', 0.5, distance[way]), row('p99', 0.99, TAIL));
        }
      }
    }
    await ways.close();
    return rows;
  });
}
