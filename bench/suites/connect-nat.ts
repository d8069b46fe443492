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
const NAMES = {
  pooled: 'pooled',
  open: 'simultaneous open',
  barePooled: "pooled's bare steps",
  bareOpen: "simultaneous open's bare steps",
} as const;
type Way = keyof typeof NAMES;

/**
 * Through two NATs: native with a static forward, in turn with a guest's connections, and with the least that these can
 * take: see bare-chain.c.
 */
export function connectNat(progress: (text: string) => void): Promise<Row[]> {
  return withPaths(1, [], async (paths) => {
    const ways = await waysTo(paths, 'server-0');
    const bare = {
      barePooled: await paths.bare('server-0', 'pooled'),
      bareOpen: await paths.bare('server-0', 'open'),
    };
    const rows: Row[] = [];
    for (const distance of DISTANCES) {
      await paths.network.faults.rtt(distance.rtt);
      for (const how of ['blocking', 'nonblocking']) {
        const rounds: Array<Partial<Record<Way, readonly number[]>> & { native: readonly number[] }> = [];
        for (let round = 1; round <= ROUNDS; round++) {
          progress(`through NATs, ${distance.rtt} ms, ${how}, round ${round} of ${ROUNDS}`);
          const command = `connect ${CONNECTS} ${how}`;
          rounds.push({
            native: await must(ways.native, command),
            pooled: await must(ways.pooled, command),
            open: await must(ways.open, command),
            ...(how === 'blocking' && {
              barePooled: await must(bare.barePooled, command),
              bareOpen: await must(bare.bareOpen, command),
            }),
          });
        }
        for (const way of Object.keys(NAMES) as Way[]) {
          if (!rounds[0][way]) continue;
          const budgets = way === 'pooled' || way === 'open' ? { median: distance[way], p99: TAIL } : undefined;
          const row = (name: 'median' | 'p99', part: number) => {
            const of = (samples: readonly number[] = []) => quantile(samples, part);
            const ratio = median(rounds.map((r) => of(r[way]) / of(r.native)));
            const value = median(rounds.map((r) => of(r[way])));
            const baseline = median(rounds.map((r) => of(r.native)));
            const metric = `time to first byte, ${NAMES[way]}, ${distance.rtt} ms RTT, ${how}, ${name} (n = ${ROUNDS * CONNECTS})`;
            const budget = budgets?.[name] ?? null;
            return {
              ...ratioRow(metric, 'µs', value, baseline, budget),
              ratio,
              within: budget === null ? null : ratio <= budget,
            };
          };
          rows.push(row('median', 0.5), row('p99', 0.99));
        }
      }
    }
    await Promise.all([ways, ...Object.values(bare)].map((client) => client.close()));
    return rows;
  });
}
