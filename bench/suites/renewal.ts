/**
 * What an open connection notices of its host's renewals: a byte to and fro each millisecond, and the longest round trip
 * around each renewal. The baseline is a host beside them that is not renewed, in as long stretches of the same time.
 */
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { readManifest, startPlatform } from '../../src/local';
import { prepareCluster, type TestCluster } from '../../test/support/cluster';
import { quantile } from '../lib/distribution';
import { build } from '../lib/programs';
import { absoluteRow, IncompleteError, median, type Row, ratioRow, type Suite } from '../lib/rows';

/** Each is renewed every 750 ms. */
const RENEWED = ['host-0', 'host-1', 'host-2', 'host-3'];
const STEADY = 'steady';
const TIMEOUT = 1_000;
const SECONDS = 50;
const LEAST = 200;

interface Trip {
  readonly began: number;
  readonly took: number;
}

async function trips(cluster: TestCluster, client: string, host: string): Promise<Trip[]> {
  const run = await cluster.exec([client, host, '7001', String(SECONDS)], { timeout: (SECONDS + 60) * 1_000 });
  if (run.code !== 0) throw new Error(`the client of '${host}' ended with ${run.code}: ${run.stderr}`);
  const lines = run.stdout.split('\n').filter(Boolean);
  return lines.map((line) => line.split(' ').map(Number)).map(([began, took]) => ({ began, took }));
}

/** The longest round trip of each stretch that ends half-way between one of these times and the next. */
function longest(all: readonly Trip[], times: readonly number[]): number[] {
  const inner = times.slice(1, -1);
  return inner.map((time, i) => {
    const [from, to] = [(times[i] + time) / 2, (time + times[i + 2]) / 2];
    const touches = ({ began, took }: Trip) => began < to && began + took > from;
    // Shorter ones are not reported.
    return all.filter(touches).reduce((most, { took }) => Math.max(most, took), 1);
  });
}

const renewalsOf = (events: readonly ClusterEvent[], host: string) =>
  events.filter((e) => e.host === host && e.event === 'rejoined').map(({ time }) => time);

async function measure(
  network: 'flat' | 'nat',
  folder: string,
  client: string,
): Promise<{ rows: Row[]; count: number }> {
  const command = ['/var/task/guest', '0.0.0.0', '7000', '7001'];
  const hosts = [...RENEWED.map((name) => ({ name, command, timeout: TIMEOUT })), { name: STEADY, command }];
  const cluster = prepareCluster(hosts, { name: 'bench' });
  copyFileSync(join(folder, 'echo-server'), join(cluster.folder, 'guest'));
  chmodSync(join(cluster.folder, 'guest'), 0o755);
  const application = readManifest(join(cluster.folder, 'manifest.json'));
  const platform = await startPlatform({ application, stateDir: cluster.state, network });
  try {
    const names = [...RENEWED, STEADY];
    const all = await Promise.all(names.map((host) => trips(cluster, client, host)));
    const events = await cluster.events();
    const pauses = RENEWED.flatMap((host, i) => longest(all[i], renewalsOf(events, host)));
    // The same stretches, of a connection whose host stays as it is.
    const noise = RENEWED.flatMap((host) => longest(all[names.length - 1], renewalsOf(events, host)));
    const again = events.filter(({ event }) => event === 'allocating').length - names.length;
    const row = (what: string) => `network ${network}: ${what}`;
    const rows = [
      absoluteRow(row(`renewals (of them another sandbox: ${again})`), '', pauses.length, null),
      ratioRow(row('longest round trip around a renewal, median'), 'ms', median(pauses), median(noise), null),
      absoluteRow(row('longest round trip around a renewal, p99'), 'ms', quantile(pauses, 0.99), 50),
      absoluteRow(row('the same without renewals, p99'), 'ms', quantile(noise, 0.99), null),
    ];
    return { rows, count: pauses.length };
  } finally {
    await platform.stop();
    await cluster.dispose();
  }
}

export const renewal: Suite = {
  name: 'renewal',
  title: 'Renewals, as an open connection sees them that sends a byte each millisecond',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    build('echo-server', folder);
    const client = build('renewal-client', folder);
    const rows: Row[] = [];
    try {
      for (const network of ['flat', 'nat'] as const) {
        progress(`network ${network}: ${SECONDS} s of renewals`);
        const { rows: of, count } = await measure(network, folder, client);
        rows.push(...of);
        if (count < LEAST) throw new Error(`network ${network}: ${count} renewals, and ${LEAST} are to be measured`);
      }
      return rows;
    } catch (error) {
      throw new IncompleteError(rows, error as Error);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
