import { quantile } from '../lib/distribution';
import { iperf } from '../lib/iperf';
import { must, waysTo, withPaths } from '../lib/path';
import { median, type Row, rateRow, ratioRow, type Suite } from '../lib/rows';

const PAIRS = 4;
const ROUNDS = 3;
/** As in the papers: so many exchanges of so many bytes, and the mean of them is one measurement. */
const PING = 'ping 24 128 1024';
const SECONDS = 2;
const CLIENTS = 4;
/** What is meant by 1.00 ± noise. */
const NOISE = 1.05;
const LEAST_RATE = 0.8;

const RTTS = [0, 0.7];

/**
 * Connections that stand, and connections per second, through two NATs: native with a static forward, in turn with
 * punched ones.
 */
export const throughput: Suite = {
  name: 'throughput',
  title: 'Round trips, throughput and connections per second of punched connections, through two NATs',
  run: (progress) =>
    withPaths(PAIRS, [], async (paths) => {
      const rows: Row[] = [];
      const pings = RTTS.map(() => ({ native: [] as number[], open: [] as number[], ratios: [] as number[] }));
      const rates = RTTS.map(() => ({ native: [] as number[], pooled: [] as number[] }));
      const streams = { forward: [] as Array<[number, number]>, reverse: [] as Array<[number, number]> };
      for (let pair = 0; pair < PAIRS; pair++) {
        const host = `server-${pair}`;
        const ways = await waysTo(paths, host);
        for (const [i, rtt] of RTTS.entries()) {
          await paths.network.faults.rtt(rtt);
          for (let round = 0; round < ROUNDS; round++) {
            progress(`pair ${pair + 1} of ${PAIRS}, ${rtt} ms, round ${round + 1} of ${ROUNDS}`);
            const native = await must(ways.native, PING);
            const open = await must(ways.open, PING);
            pings[i].native.push(...native);
            pings[i].open.push(...open);
            pings[i].ratios.push(quantile(open, 0.5) / quantile(native, 0.5));
          }
          rates[i].native.push(...(await must(ways.native, `rate ${SECONDS} ${CLIENTS}`)));
          rates[i].pooled.push(...(await must(ways.pooled, `rate ${SECONDS} ${CLIENTS}`)));
        }
        await paths.network.faults.rtt(0);
        await ways.close();
        for (const direction of ['forward', 'reverse'] as const) {
          progress(`pair ${pair + 1} of ${PAIRS}, iperf3 ${direction}`);
          streams[direction].push(await iperf(paths, host, direction, SECONDS));
        }
      }
      for (const [i, rtt] of RTTS.entries()) {
        const { native, open, ratios } = pings[i];
        const metric = `round trip of 1 KiB, ${rtt} ms RTT, median (n = ${open.length} × 128, ${PAIRS} pairs)`;
        const row = ratioRow(metric, 'µs', quantile(open, 0.5), quantile(native, 0.5), NOISE);
        rows.push({ ...row, ratio: median(ratios), within: median(ratios) <= NOISE });
      }
      for (const direction of ['forward', 'reverse'] as const) {
        const [native, ours] = [0, 1].map((i) => median(streams[direction].map((pair) => pair[i])));
        rows.push(
          rateRow(`iperf3, ${direction} (n = ${PAIRS} pairs × ${SECONDS} s)`, 'Gbit/s', ours, native, 1 / NOISE),
        );
      }
      for (const [i, rtt] of RTTS.entries()) {
        const { native, pooled } = rates[i];
        const metric = `new connections per second, pooled, ${CLIENTS} clients, ${rtt} ms RTT (n = ${PAIRS} × ${SECONDS} s)`;
        rows.push(rateRow(metric, '/s', median(pooled), median(native), LEAST_RATE));
      }
      return rows;
    }),
};
