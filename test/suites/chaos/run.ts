/** One run: a cluster, its clients, its faults, and what is found afterwards. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterStatus } from '../../../src/contract/control/from-seed';
import { HOST_LIMITS } from '../../../src/contract/manifest/limits';
import { cgroupPrefix, faultsOf, readPlatform } from '../../../src/local';
import { type Replay, replay } from '../../../src/runtime/seed/model/replay';
import { TRACE_ENV } from '../../../src/runtime/seed/trace';
import { prepareCluster, type TestCluster, type TestHost } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { python } from '../../support/guests';
import { Clients } from './clients';
import { Faults } from './faults';
import { keep } from './keep';
import { leftBehind, Witness } from './leaks';
import type { Network, PlannedFault } from './plan';
import { callsInLogs, eventsInLogs, lastWords } from './records';
import { openDescriptors, Processes } from './sandboxes';
import { countEnds, judge, type Verdict } from './verdicts';

export interface RunOptions {
  readonly network: Network;
  readonly seed: number;
  /** Milliseconds in which hosts are called. */
  readonly duration: number;
  readonly hosts: number;
  readonly clients: number;
  readonly plan: readonly PlannedFault[];
  /** Folder for the logs and the trace; absent: none is kept. */
  readonly keep?: string;
  readonly tell: (line: string) => void;
}

export interface RunResult {
  readonly verdicts: readonly Verdict[];
  /** How calls have ended. */
  readonly calls: Readonly<Record<string, number>>;
  /** Faults by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Faults that found nobody to hit. */
  readonly missed: number;
}

const ALLOCATION_TIMEOUT = HOST_LIMITS.allocationTimeout.default;
/** Open calls may end until then. */
const CALLS_END = 45_000;
/** A lost host is given up after 10 s, and is idle and suspended for less than 8 s. */
const CONVERGE = 60_000;
/**
 * What is open of each sandbox that the platform keeps, of each host at the seed (a connection to the Invoke API is kept
 * for the next request), and of the rest at most.
 */
const DESCRIPTORS = { ofSandbox: 8, ofHost: 1, ofRest: 8 };

/** Whoever ends the run does not want its cluster. */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const TRACE = 'seed.trace';
const GUEST = join(__dirname, 'guest.py');

/** Every tenth is a Redis; they are idle after times that differ, so that all states meet. */
function hostsOf(many: number): TestHost[] {
  return Array.from({ length: many }, (_, i) => {
    const redis = i % 10 === 9;
    const name = redis ? `redis-${i}` : `host-${i}`;
    const command = redis
      ? ['/usr/bin/redis-server', '--bind', '0.0.0.0', '--dir', '/tmp', '--save', '', '--protected-mode', 'no']
      : [python, 'guest.py', 'serve', name];
    return {
      ...{ name, command, memorySize: 256, allocationTimeout: ALLOCATION_TIMEOUT },
      idleTimeout: [300, 1_000, 2_500][i % 3],
      releaseTimeout: [500, 2_000, 5_000][(i % 4) % 3],
    };
  });
}

export async function runChaos(options: RunOptions): Promise<RunResult> {
  const name = `chaos-${options.network}`;
  const hosts = hostsOf(options.hosts);
  const traces = mkdtempSync(join(tmpdir(), 'imaginary-trace-'));
  const traceFile = join(traces, TRACE);
  const cluster = prepareCluster(hosts, {
    name,
    files: { 'guest.py': readFileSync(GUEST, 'utf8') },
    upArguments: ['--network', options.network],
    env: { [TRACE_ENV]: traceFile },
  });
  const interrupted = () => void cluster.dispose().finally(() => process.exit(1));
  for (const name of SIGNALS) process.once(name, interrupted);
  try {
    const up = await cluster.up();
    if (up.code !== 0) throw new Error(`imaginary up: exit ${up.code}\n${up.stderr}${up.stdout}`);
    const result = await disturbed(cluster, name, hosts, options);
    const replayed = replay(readFileSync(traceFile, 'utf8').split('\n'), { atRest: true });
    return { ...result, verdicts: [...result.verdicts, ...verdictsOf(replayed)] };
  } finally {
    if (options.keep !== undefined) keep(options.keep, [join(cluster.state, 'logs'), traces]);
    await cluster.dispose();
    for (const name of SIGNALS) process.off(name, interrupted);
    rmSync(traces, { recursive: true, force: true });
  }
}

async function disturbed(
  cluster: TestCluster,
  name: string,
  hosts: readonly TestHost[],
  options: RunOptions,
): Promise<RunResult> {
  const { plan, seed, duration, tell } = options;
  const info = readPlatform(cluster.state)!;
  const platform = info.pid;
  const began = Date.now();
  const say = (line: string) => tell(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const witness = new Witness(platform);
  witness.look();
  const atFirst = descriptorsOf(platform);

  const clients = new Clients({
    ...{ cluster, seed, program: join(cluster.folder, 'guest.py'), many: options.clients },
    hosts: hosts.map((host) => (host.name.startsWith('redis') ? `${host.name}:redis` : host.name)),
  });
  const faults = new Faults({
    ...{ cluster, name, platform },
    network: info.network.kind === 'nat' ? faultsOf(info.network) : undefined,
    clients: () => clients.running,
    tell: say,
  });
  const timers = plan.map((planned) => setTimeout(() => faults.inject(planned), planned.at));
  const progress = setInterval(() => {
    witness.look();
    say(`${clients.calls.length} calls of clients, ${faults.all.length} faults`);
  }, 5_000);
  await new Promise((done) => setTimeout(done, duration));
  for (const timer of timers) clearTimeout(timer);
  await faults.over();
  say('the faults are over');
  await clients.end(CALLS_END);
  clearInterval(progress);

  const converged = await comesToRest(cluster);
  say(converged.length === 0 ? 'all hosts are released' : 'not all hosts are released');
  const again = converged.length === 0 ? await calledAgain(cluster, hosts, seed) : ['not tried'];
  const restless = converged.length === 0 ? await comesToRest(cluster) : [];
  witness.look();
  const descriptors = descriptorsLeft(atFirst, platform, name, hosts.length);
  const guests = new Processes(platform)
    .sandboxes(name)
    .flatMap((sandbox) => (sandbox.guests.length > 0 ? [sandbox] : []));
  const prefix = cgroupPrefix(cluster.state);
  const down = await cluster.down();
  const left = leftBehind(prefix, cluster.state, witness);

  const calls = lastWords([...clients.calls, ...callsInLogs(info.logDir)]);
  const events = eventsInLogs(info.logDir);
  const verdicts: Verdict[] = [
    ...judge({ calls, events, faults: faults.all, allocationTimeout: ALLOCATION_TIMEOUT }),
    {
      property: 'the states converge',
      of: `${hosts.length} hosts, ${CONVERGE} ms`,
      violations: [...converged, ...restless],
    },
    { property: 'afterwards every host answers', of: `${hosts.length} hosts`, violations: again },
    {
      property: 'no guest runs on a host that is imagined',
      of: `${hosts.length} hosts`,
      violations:
        converged.length + restless.length === 0
          ? guests.map(({ host, commands }) => `${host}: ${commands.join(', ')}`)
          : [],
    },
    { property: 'no descriptor leaks', of: 'platform and seed, at rest', violations: descriptors },
    {
      property: 'nothing is left after down',
      of: `${witness.spaces.size} namespaces seen; processes, files, cgroups`,
      violations: [...(down.code === 0 ? [] : [`imaginary down: exit ${down.code}: ${down.stderr}`]), ...left],
    },
    { property: 'clients end as they are told to', of: `${options.clients} clients`, violations: clients.complaints },
  ];
  return { verdicts, calls: countEnds(calls), faults: countKinds(faults), missed: faults.missed };
}

function countKinds({ all }: Faults): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of all) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** @returns hosts that are not released within the limit */
async function comesToRest(cluster: TestCluster): Promise<string[]> {
  let hosts: ClusterStatus['hosts'] = [];
  const released = async () => {
    hosts = await cluster.ps();
    return hosts.every(({ state }) => state === 'imagined');
  };
  try {
    await eventually(released, CONVERGE);
    return [];
  } catch {
    return hosts
      .filter(({ state }) => state !== 'imagined')
      .map((host) => `${host.name} is ${host.state} after ${CONVERGE} ms: ${JSON.stringify(host)}`);
  }
}

/** One connect and one request to each, from outside. @returns what went wrong */
async function calledAgain(cluster: TestCluster, hosts: readonly TestHost[], seed: number): Promise<string[]> {
  const words = hosts.map(({ name }) => (name.startsWith('redis') ? `${name}:redis` : name));
  const run = await cluster.exec([python, join(cluster.folder, 'guest.py'), 'each', 'last', String(seed), ...words], {
    timeout: 2 * ALLOCATION_TIMEOUT,
  });
  return run.code === 0 ? [] : (run.stderr || `exit ${run.code}`).trim().split('\n');
}

interface Descriptors {
  readonly platform: number;
  readonly seed: number;
}

function descriptorsOf(platform: number): Descriptors {
  const { seed } = new Processes(platform);
  return { platform: openDescriptors(platform), seed: seed === undefined ? 0 : openDescriptors(seed) };
}

function descriptorsLeft(before: Descriptors, platform: number, name: string, hosts: number): string[] {
  const kept = new Processes(platform).sandboxes(name).length;
  const now = descriptorsOf(platform);
  const most = {
    platform: before.platform + kept * DESCRIPTORS.ofSandbox + DESCRIPTORS.ofRest,
    seed: before.seed + hosts * DESCRIPTORS.ofHost + DESCRIPTORS.ofRest,
  };
  return (['platform', 'seed'] as const)
    .filter((part) => now[part] > most[part])
    .map((part) => `${part}: ${now[part]}, at first ${before[part]}; allowed with ${kept} sandboxes: ${most[part]}`);
}

function verdictsOf({ seeds, steps, problems }: Replay): Verdict[] {
  return Object.entries(problems).map(([property, violations]) => ({
    property: `trace: ${property}`,
    of: `${steps} steps of ${seeds} seeds`,
    violations,
  }));
}
