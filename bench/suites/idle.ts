/** What it costs to see whether a host is idle: the CPU time of its supervisor, with many guests and connections. */
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readManifest, startPlatform } from '../../src/local';
import { prepareCluster, type TestCluster } from '../../test/support/cluster';
import { cpuTicks, processesOf } from '../../test/support/processes';
import { build } from '../lib/programs';
import { absoluteRow, type Row, type Suite } from '../lib/rows';

const PROCESSES = 200;
const CONNECTIONS = 500;
/** Milliseconds. Long enough for the quiet host to be there to the end. */
const IDLE_TIMEOUT = 600_000;
const SECONDS = 30;
/** Milliseconds in which connections are made ready, or what was before is over. */
const SETTLING = 5_000;
const MS_PER_TICK = 10;
const POLICIES = ['no-traffic', 'no-connections'] as const;
const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Percent of a core that a process uses over the next seconds. */
async function cpuOf(pid: number): Promise<number> {
  const [began, ticks] = [performance.now(), cpuTicks(pid)];
  await sleep(SECONDS * 1_000);
  return ((cpuTicks(pid) - ticks) * MS_PER_TICK * 100) / (performance.now() - began);
}

/** A client with all those connections: says a letter when it is to be busy or quiet. */
async function openCrowd(
  cluster: TestCluster,
  client: string,
  host: string,
): Promise<(letter: 'b' | 'q') => Promise<void>> {
  const child = cluster.start([client, host, '7000', String(CONNECTIONS)]);
  child.stderr!.pipe(process.stderr);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const hear = async (expected: string) => {
    const { value } = await lines.next();
    if (value !== expected) throw new Error(`the client of '${host}' says '${value}', not '${expected}'`);
  };
  await hear('connected');
  return async (letter) => {
    child.stdin!.write(letter);
    await hear(letter);
  };
}

export const idle: Suite = {
  name: 'idle',
  title: `The supervisor's own CPU time, with ${PROCESSES} guest processes and ${CONNECTIONS} connections`,
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const server = build('crowd-server', folder);
    const client = build('crowd-client', folder);
    const hosts = POLICIES.map((releasePolicy) => ({
      ...{ name: releasePolicy, releasePolicy, idleTimeout: IDLE_TIMEOUT },
      command: ['/var/task/guest', '0.0.0.0', '7000', String(PROCESSES)],
    }));
    const cluster = prepareCluster(hosts, { name: 'bench' });
    copyFileSync(server, join(cluster.folder, 'guest'));
    chmodSync(join(cluster.folder, 'guest'), 0o755);
    const application = readManifest(join(cluster.folder, 'manifest.json'));
    const platform = await startPlatform({ application, stateDir: cluster.state });
    const rows: Row[] = [];
    try {
      for (const policy of POLICIES) {
        progress(`${policy}: connects`);
        const say = await openCrowd(cluster, client, policy);
        // The supervisor is the runtime client: the first process of its sandbox, and the parent of all guests.
        const supervisor = Math.min(...processesOf(`bench-${policy}`));
        for (const [how, letter] of [
          ['busy', 'b'],
          ['quiet', 'q'],
        ] as const) {
          progress(`${policy}: ${how}`);
          await say(letter);
          await sleep(SETTLING);
          rows.push(absoluteRow(`${how} host, release policy ${policy}`, '% of a core', await cpuOf(supervisor), 1));
        }
        await cluster.imaginary(['stop', policy]);
      }
      return rows;
    } finally {
      await platform.stop();
      await cluster.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
