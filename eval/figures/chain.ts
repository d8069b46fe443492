/**
 * The first request through six imagined hosts, each of which passes it on to the next: with what the seed has learnt of
 * them, and without. The reference is the first request to one imagined host. All are nginx, all sandboxes are new.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { median } from '../../bench/lib/rows';
import type { ManifestHost } from '../../src/contract/manifest';
import { type Platform, readManifest, startPlatform } from '../../src/local';
import { prepareCluster, type TestCluster } from '../../test/support/cluster';
import { eventually } from '../../test/support/eventually';
import { absolute, type Evaluation, type Figure, ratio } from '../lib/figures';
import { nginxConf } from '../lib/nginx';

const LENGTH = 6;
const ROUNDS = 9;
/**
 * MB. Six sandboxes have Lambda's shares of processors: 0.14 each, and 0.87 together, so that they are not in one another's
 * way on a machine with two. On AWS they have a machine each. The choice matters: with larger shares the ratio is larger here.
 */
const MEMORY = 256;
/** Sandboxes are thrown away this soon after their hosts were stopped, so that each start is a cold one. Milliseconds. */
const KEEP = { releaseTimeout: 100, recycleAfter: 1 };

type Way = 'one' | 'with' | 'without';
const WAYS: readonly Way[] = ['one', 'with', 'without'];
const hostsOf = (way: Way) => Array.from({ length: way === 'one' ? 1 : LENGTH }, (_, i) => `${way}-${i}`);

/** Boots a cluster with all three ways, and resolves to what measures one and makes its hosts cold again. */
async function boot(): Promise<{ cluster: TestCluster; platform: Platform }> {
  const files: Record<string, string> = {};
  const hosts = WAYS.flatMap((way) =>
    hostsOf(way).map((name, i, all) => {
      const next = all[i + 1];
      files[`${name}.conf`] = nginxConf(8000, next ? `proxy_pass http://${next}:8000;` : "return 200 'the end\\n';");
      return {
        name,
        command: ['/usr/sbin/nginx', '-e', 'stderr', '-p', '/tmp', '-c', `/var/task/${name}.conf`],
        prefetch: way !== 'without',
        releasePolicy: 'never',
        releaseTimeout: KEEP.releaseTimeout,
        memorySize: MEMORY,
      } satisfies Partial<ManifestHost> & { name: string };
    }),
  );
  const cluster = prepareCluster(hosts, { name: 'chain', files });
  const application = readManifest(join(cluster.folder, 'manifest.json'));
  const { recycleAfter } = KEEP;
  try {
    return {
      cluster,
      platform: await startPlatform({ application, stateDir: cluster.state, recycleAfter, cpuShare: true }),
    };
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
}

/** Milliseconds of the first request, by curl's own clock. */
async function request(cluster: TestCluster, way: Way): Promise<number> {
  const write = '%{http_code} %{time_total}';
  const curl = ['curl', '-sS', '-o', '/dev/null', '-w', write, `http://${way}-0:8000/`];
  const { code, stdout, stderr } = await cluster.exec(curl);
  const [status, seconds] = stdout.split(' ').map(Number);
  if (code !== 0 || status !== 200) throw new Error(`a request to '${way}-0' ended with ${stdout} ${stderr}`);
  return seconds * 1_000;
}

async function makeCold(cluster: TestCluster, way: Way): Promise<void> {
  await Promise.all(hostsOf(way).map((name) => cluster.imaginary(['stop', name])));
  await eventually(() => readdirSync(join(cluster.state, 'sandboxes')).length === 0);
}

export const chain: Evaluation = {
  name: 'chain',
  title: `First request through ${LENGTH} imagined hosts, with and without prefetch, against one cold start`,
  async run(progress): Promise<Figure[]> {
    const { cluster, platform } = await boot();
    const times: Record<Way, number[]> = { one: [], with: [], without: [] };
    try {
      // The first round teaches the seed, and loads what the platform loads once.
      for (let round = 0; round <= ROUNDS; round++) {
        for (const way of WAYS) {
          progress(`round ${round} of ${ROUNDS}: ${way}`);
          const took = await request(cluster, way);
          if (round > 0) times[way].push(took);
          await makeCold(cluster, way);
        }
      }
      const { edges } = JSON.parse((await cluster.imaginary(['edges', '--json'])).stdout);
      const learnt = edges.filter(({ hits }: { hits: number }) => hits === ROUNDS).length;
      if (edges.length !== LENGTH - 1 || learnt !== LENGTH - 1)
        throw new Error(`not every host was started ahead: ${JSON.stringify(edges)}`);
    } finally {
      await platform.stop();
      await cluster.dispose();
    }
    const one = median(times.one);
    return [
      absolute('one imagined host, its first request: median', 'ms', one, null),
      ratio(`${LENGTH} imagined hosts, with prefetch`, 'ms', median(times.with), one, { most: 1.5 }),
      ratio(`${LENGTH} imagined hosts, without`, 'ms', median(times.without), one, null),
    ];
  },
};
