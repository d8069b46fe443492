/**
 * A small social network under saturation: natively on one network; under the shim on one network (the papers' static
 * case); and on host functions behind NATs, 0.7 ms from one another. They stand at the same time, and are measured in turn.
 * Native stands twice: what the two differ by is no difference of the shim's.
 */
import { median } from '../../bench/lib/rows';
import { cpuTicks, signal } from '../../test/support/processes';
import { absolute, type Evaluation, type Figure, paired } from '../lib/figures';
import { asHosts, asProcesses, type Deployment, fill, LOGIC } from '../lib/social';

/** All processes are new in each: how fast a process is depends on where its memory is, and on what V8 compiles when. */
const SETS = 4;
/** Of each set: so many rounds, of a second each. The machine is not the same for long. */
const ROUNDS = 15;
const LOAD = { connections: 48, seconds: 1 };
/** Before them: what node compiles while it runs is compiled. */
const WARM = 5;
/** The functions are for information, and are measured once in so many rounds. */
const SELDOM = 5;
/** The papers' mean round trip between two functions. */
const RTT = 0.7;
/** Microseconds. */
const TICK = 10_000;

interface Round {
  /** Pages a second. */
  readonly rate: number;
  /** Milliseconds. */
  readonly p90: number;
  /** Microseconds of processors that a page took, in all processes but the clients'. */
  readonly cpu: number;
  /** Percent of a processor that a supervisor took: the mean of all of them. */
  readonly supervisor: number;
}

/** Of processes that are there before and after. */
function ticksOf(pids: readonly number[]): () => number {
  const before = new Map(pids.map((pid) => [pid, cpuTicks(pid)]));
  return () => [...before].reduce((sum, [pid, ticks]) => sum + Math.max(0, (cpuTicks(pid) || 0) - ticks), 0);
}

/** One round of a deployment, while the others stand still. */
async function measure(deployment: Deployment): Promise<Round> {
  signal(deployment.parts(), 'SIGCONT');
  try {
    const supervisors = deployment.supervisors();
    const [used, usedBySupervisors] = [ticksOf(deployment.parts()), ticksOf(supervisors)];
    const { requests, us, p90 } = await deployment.load();
    return {
      rate: (requests * 1e6) / us,
      p90: p90 / 1_000,
      cpu: (used() * TICK) / requests,
      supervisor: (100 * usedBySupervisors() * TICK) / us / supervisors.length,
    };
  } catch (error) {
    throw new Error(`${deployment.what}: ${(error as Error).message}`, { cause: error });
  } finally {
    signal(deployment.parts(), 'SIGSTOP');
  }
}

/** Started in this order. */
const START = {
  native: () => asProcesses('native', 0, LOAD),
  shim: () => asHosts('under the shim', ['--network', 'flat', '--sandbox', 'none'], LOAD),
  again: () => asProcesses('native again', 1, LOAD),
  functions: () => asHosts('functions', ['--network', 'nat', '--rtt', String(RTT)], LOAD),
};
type Kind = keyof typeof START;
type Found = Readonly<Record<Kind, Round[]>>;
/** Each round has these three. Each begins with another one. */
const TURN: readonly Kind[] = ['native', 'shim', 'again'];

async function measureSet(found: Found, progress: (text: string) => void): Promise<void> {
  const standing = new Map<Kind, Deployment>();
  try {
    for (const [kind, start] of Object.entries(START)) {
      progress(kind);
      standing.set(kind as Kind, await start());
    }
    for (const deployment of standing.values()) {
      progress(`the first page of ${deployment.what}`);
      await fill(deployment);
    }
    for (const deployment of standing.values()) signal(deployment.parts(), 'SIGSTOP');
    for (let round = -WARM; round < ROUNDS; round++) {
      progress(`round ${round + 1} of ${ROUNDS}`);
      const kinds = TURN.map((_, i) => TURN[(i + round + WARM) % TURN.length]);
      if (round % SELDOM === 0 || round < 0) kinds.push('functions');
      for (const kind of kinds) {
        const taken = await measure(standing.get(kind)!);
        if (round >= 0) found[kind].push(taken);
      }
    }
  } finally {
    for (const deployment of standing.values()) {
      signal(deployment.parts(), 'SIGCONT');
      await deployment.close();
    }
  }
}

export const microservices: Evaluation = {
  name: 'microservices',
  title: `wrk, nginx, ${LOGIC.length} services with RPC, memcached and Redis: at saturation, against the same natively`,
  async run(progress): Promise<Figure[]> {
    const found: Found = { native: [], shim: [], again: [], functions: [] };
    for (let set = 1; set <= SETS; set++) {
      await measureSet(found, (text) => progress(`set ${set} of ${SETS}: ${text}`));
    }
    const { native, shim, again, functions } = found;
    const nearest = native.filter((_, i) => (i % ROUNDS) % SELDOM === 0);
    const of = (rounds: readonly Round[], what: keyof Round) => rounds.map((round) => round[what]);
    const held = (what: keyof Round) => [of(shim, what), of(native, what)] as const;
    const twice = (what: keyof Round) => [of(again, what), of(native, what)] as const;
    const far = (what: keyof Round) => [of(functions, what), of(nearest, what)] as const;
    return [
      absolute('native: pages a second', '1/s', median(of(native, 'rate')), null),
      paired('under the shim, one network: pages a second', '1/s', ...held('rate'), { least: 0.98 }),
      paired('the same: 90th percentile', 'ms', ...held('p90'), null),
      paired('the same: CPU time of a page, with supervisors and seed', 'µs', ...held('cpu'), null),
      paired('natively again, the same in other processes: pages a second', '1/s', ...twice('rate'), null),
      paired('the same: CPU time of a page', 'µs', ...twice('cpu'), null),
      absolute('under the shim: a supervisor, of a processor', '%', mean(of(shim, 'supervisor')), { most: 0.3 }),
      paired(`host functions behind NATs, ${RTT} ms apart: pages a second`, '1/s', ...far('rate'), null),
      paired('the same: 90th percentile', 'ms', ...far('p90'), null),
      paired('the same: CPU time of a page, with supervisors and seed', 'µs', ...far('cpu'), null),
    ];
  },
};

/** Ticks are coarse: a median of them says nothing. */
function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
