/**
 * Three ZooKeepers under a read load, of which the leader is killed. It is replaced by a host function that is ordered at
 * once, by a host function that nobody orders (the connects of the quorum and of its clients imagine it), and, natively, by
 * an ordinary process after the time that a machine takes to boot.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keep } from '../../bench/lib/results';
import { median } from '../../bench/lib/rows';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { prepareCluster, type TestCluster } from '../../test/support/cluster';
import { absolute, type Evaluation, type Figure, paired, ratio } from '../lib/figures';
import { loseSandbox } from '../lib/lose-sandbox';
import { NODES, ZooKeeperLoad } from '../lib/zookeeper-load';

const EXAMPLE = resolve(__dirname, '../../examples/zookeeper');
/** Milliseconds between two samples: recoveries differ by tenths of a second. */
const EVERY = 20;
const LOAD = ['/usr/bin/python3', join(EXAMPLE, 'load.py'), '--every', String(EVERY)];
const CODE = join(EXAMPLE, 'hosts/zk');
const ROUNDS = 15;
/**
 * Milliseconds until a machine that was ordered runs its first process: "approximately 30 seconds for VMs" (Short-lived
 * Datacenters, section 6).
 */
const BOOT = 30_000;
/** Of the picture: milliseconds before the fault, and of each step. */
const [BEFORE, STEP] = [2_000, 500];

type Progress = (text: string) => void;

interface Recovery {
  /** Milliseconds from the kill until throughput is what it was. */
  readonly ms: number;
  /** Reads a second, by steps, from `BEFORE` on. */
  readonly timeline: readonly number[];
  /** Whose connect has imagined the node, and how many milliseconds after the kill. */
  readonly imagined?: { readonly by: string; readonly after: number };
}

interface Replacement extends Pick<Recovery, 'imagined'> {
  /** When its clock begins. Default: when the node was killed. */
  readonly began?: number;
}

async function recover(
  load: ZooKeeperLoad,
  kill: (leader: string) => Promise<unknown>,
  replace: (leader: string, killed: number) => Promise<Replacement>,
): Promise<Recovery> {
  const usual = await load.steady();
  const leader = await load.leader();
  const killed = performance.now();
  const killing = kill(leader);
  const { began = killed, imagined } = await replace(leader, killed);
  await killing;
  const ms = await load.recovered(began, usual);
  return { ms, timeline: load.timeline(began - BEFORE, began + ms + BEFORE, STEP), imagined };
}

async function inCluster(progress: Progress): Promise<Record<'ordered' | 'imagined', Recovery[]>> {
  const files = Object.fromEntries(
    ['server.sh', 'zoo.cfg', 'log4j.properties'].map((file) => [file, readFileSync(join(CODE, file), 'utf8')]),
  );
  const hosts = NODES.map((name) => ({ name, command: ['sh', '-eu', 'server.sh'] }));
  const cluster = prepareCluster(hosts, { name: 'zookeeper', files });
  try {
    const { code, stderr } = await cluster.up();
    if (code !== 0) throw new Error(`imaginary up: ${stderr}`);
    const child = cluster.start([...LOAD, ...NODES.map((name) => `${name}=${name}:2181`)], {
      timeout: 600_000,
    });
    const load = new ZooKeeperLoad(child);
    const found: Record<'ordered' | 'imagined', Recovery[]> = { ordered: [], imagined: [] };
    for (let i = 0; i < ROUNDS; i++) {
      // The order changes: neither is always the one after the other.
      for (const mode of i % 2 === 0 ? (['ordered', 'imagined'] as const) : (['imagined', 'ordered'] as const)) {
        progress(`${mode}, ${i + 1} of ${ROUNDS}`);
        const replace = mode === 'ordered' ? orderedIn(cluster, load) : imaginedIn(cluster);
        found[mode].push(await recover(load, killIn(cluster, mode === 'ordered' ? load : undefined), replace));
      }
    }
    load.end();
    return found;
  } finally {
    await cluster.dispose();
  }
}

/** Its whole sandbox, as a machine that is gone. @param idle this load does not connect to it */
const killIn = (cluster: TestCluster, idle: ZooKeeperLoad | undefined) => async (host: string) => {
  const down = idle?.order(`down ${host}`);
  loseSandbox(cluster.state, 'zookeeper', host);
  await down;
};

/**
 * The clock of an order begins when the seed has it: what the command itself takes to start is not counted. Neither is it
 * if an election was faster.
 */
const orderedIn = (cluster: TestCluster, load: ZooKeeperLoad) => async (host: string, killed: number) => {
  const { code, stderr } = await cluster.imaginary(['start', host]);
  if (code !== 0) throw new Error(`imaginary start ${host}: ${stderr}`);
  await load.order(`up ${host}`);
  const first = await cluster.waitFor(
    (e) => e.host === host && sinceStart(e) >= killed && (e.event === 'ordered' || e.event === 'allocating'),
  );
  return { began: sinceStart(first) };
};

const imaginedIn = (cluster: TestCluster) => async (host: string, killed: number) => {
  const first = await cluster.waitFor((e) => e.host === host && e.event === 'allocating' && sinceStart(e) >= killed);
  const { detail } = first;
  if (detail.why !== undefined) throw new Error(`'${host}' was started because ${detail.why}, not by a connect`);
  return { imagined: { by: String(detail.by), after: sinceStart(first) - killed } };
};

/** As `performance.now()`. */
const sinceStart = ({ time }: ClusterEvent) => time - performance.timeOrigin;

/** Ordinary processes at addresses of the loopback interface. */
async function asProcesses(progress: Progress): Promise<Recovery> {
  progress('an ordinary process, after a boot');
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-zookeeper-'));
  const addresses = NODES.map((_, i) => `127.0.77.${i + 1}`);
  const running = new Map<string, ChildProcess>();
  const start = (name: string) => {
    const i = NODES.indexOf(name);
    const data = join(folder, name);
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data);
    writeFileSync(join(data, 'myid'), `${i + 1}`);
    const base = readFileSync(join(CODE, 'zoo.cfg'), 'utf8').replace('dataDir=/tmp', `dataDir=${data}`);
    const own = NODES.reduce((text, node, j) => text.replaceAll(`${node}:`, `${addresses[j]}:`), base);
    writeFileSync(join(data, 'zoo.cfg'), `${own}clientPortAddress=${addresses[i]}\n`);
    const command = readFileSync(join(CODE, 'server.sh'), 'utf8')
      .replace(/^echo .*$/m, '')
      .replace('/var/task/zoo.cfg', join(data, 'zoo.cfg'))
      .replaceAll('/var/task', CODE);
    running.set(name, spawn('sh', ['-euc', command], { stdio: 'ignore' }));
  };
  const load = new ZooKeeperLoad(
    spawn(LOAD[0], [...LOAD.slice(1), ...NODES.map((name, i) => `${name}=${addresses[i]}:2181`)]),
  );
  try {
    NODES.forEach(start);
    return await recover(
      load,
      async (leader) => void running.get(leader)!.kill('SIGKILL'),
      async (leader) => {
        // The machine boots.
        await sleep(BOOT);
        start(leader);
        return {};
      },
    );
  } finally {
    load.end();
    for (const child of running.values()) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

const middle = (of: readonly Recovery[]) => [...of].sort((a, b) => a.ms - b.ms)[of.length >> 1];

export const zookeeper: Evaluation = {
  name: 'zookeeper',
  title: 'ZooKeeper: the leader of three nodes is killed under a read load',
  run: async (progress): Promise<Figure[]> => {
    const { ordered, imagined } = await inCluster(progress);
    const booted = await asProcesses(progress);
    const all = { ordered: middle(ordered), imagined: middle(imagined), booted };
    keep(
      'eval-zookeeper-timeline.json',
      `${JSON.stringify({ stepMs: STEP, killedAfterMs: BEFORE, ...all }, null, 2)}\n`,
    );
    const seconds = ({ ms }: Recovery) => ms / 1_000;
    return [
      paired('recovery: nobody orders anything / ordered at once', 's', imagined.map(seconds), ordered.map(seconds), {
        most: 1.2,
      }),
      ratio('recovery: nobody orders anything / a machine boots', 's', seconds(all.imagined), seconds(booted), null),
      absolute('the boot, of that', 's', BOOT / 1_000, null),
      absolute(
        `nobody orders anything: imagined by a node of the quorum, of ${ROUNDS} rounds; else by a client`,
        'rounds',
        imagined.filter((one) => NODES.includes(one.imagined!.by)).length,
        null,
      ),
      absolute(
        'nobody orders anything: from the kill until the seed allocates the node',
        'ms',
        median(imagined.map((one) => one.imagined!.after)),
        null,
      ),
      ...(['ordered', 'imagined', 'booted'] as const).map((mode) =>
        absolute(`the least throughput while it recovers: ${mode}`, 'reads/s', Math.min(...all[mode].timeline), null),
      ),
    ];
  },
};
