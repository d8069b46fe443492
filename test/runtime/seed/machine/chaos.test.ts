/**
 * Everything at once: hosts that exit, crash, renew, suspend, lose their connection; a seed that is restarted; clients
 * that never stop locating. What must hold all the time: every locate ends by its deadline, a host is not in the
 * cluster twice (for longer than it takes to tell the older epoch to stop), and the epochs that a client sees only
 * grow. Without reserved concurrency the platform does not help with the second: only the seed's fencing does. Then a
 * seed that has just started knows of no newer epoch than that of who comes first, which may be an epoch that was cut
 * off while the seed before it allocated anew: epochs grow for as long as one seed lives.
 */
import type { Invocation, InvocationResult } from '../../../../src/contract/platform/invocation';
import { bootCluster, type Cluster, failure, mapping, type Supervisor } from '../cluster';

const HOSTS = 6;
const CLIENTS = 5;
const DURATION = 3_000;
const DEADLINE = 1_500;
const LOOK_EVERY = 10;
const FENCED_WITHIN = 300;

let cluster: Cluster;
afterEach(() => cluster.close());

/** Numbers from 0 to 1, the same for the same start. */
function random(state: number): () => number {
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test.each([
  [1, true],
  [2, false],
])(
  'nothing hangs, nothing lives twice (start %i, reserved concurrency: %s)',
  async (start, reserved) => {
    const names = Array.from({ length: HOSTS }, (_, i) => `host-${i}`);
    const limits = { allocationTimeout: DEADLINE, releaseTimeout: 150 };
    cluster = await bootCluster(
      names.map((name) => ({ name, ...limits })),
      { lostAfter: 100 },
      { reserved },
    );
    const next = random(start);
    const problems: string[] = [];
    let over = false;
    let seeds = 1;
    const joined = new Map<string, Set<Supervisor>>(names.map((name) => [name, new Set()]));

    /** A sandbox of one host: its guest lives on between invocations, until it is released or crashes. */
    const sandbox = (name: string) => {
      let guest: number | undefined;
      const live = async (first: Supervisor): Promise<InvocationResult> => {
        let supervisor = first;
        const { host, epoch } = first.invocation;
        await sleep(next() * 30);
        supervisor.listen(80);
        while (!over) {
          const stop = await Promise.race([supervisor.stopped, sleep(next() * 200)]);
          const dice = next();
          if (typeof stop === 'boolean') {
            guest = undefined;
            return { host, epoch, outcome: stop ? 'fenced' : 'released' };
          }
          if (dice < 0.1) {
            guest = undefined;
            return supervisor.exit(dice < 0.05 ? 0 : 1);
          }
          if (dice < 0.2) {
            guest = undefined;
            supervisor.session.close();
            throw new Error('crashed');
          }
          if (dice < 0.35) {
            await supervisor.session.leave({ outcome: 'renew' });
            return { host, epoch, outcome: 'renew' };
          }
          if (dice < 0.6) {
            const result = await supervisor.suspend();
            if (result) return result;
          }
          if (dice > 0.8) {
            // Cut off for longer than the seed waits for it; the guest goes on meanwhile.
            supervisor.session.close();
            await sleep(100 + next() * 1_200);
            const back = await cluster
              .supervise(supervisor.invocation, { ports: [mapping(80)] })
              .catch(() => undefined);
            if (!back) {
              guest = undefined;
              return { host, epoch, outcome: 'fenced' };
            }
            joined.get(name)!.delete(supervisor);
            joined.get(name)!.add(back);
            supervisor = back;
          }
        }
        return { host, epoch, outcome: 'released' };
      };
      return async (invocation: Invocation): Promise<InvocationResult> => {
        const { host, epoch, action } = invocation;
        if (action === 'release') {
          guest = undefined;
          return { host, epoch, outcome: 'released' };
        }
        await sleep(next() * 30);
        if (next() < 0.1) throw new Error('crashed at start');
        const ports = guest === undefined ? [] : [mapping(80)];
        const supervisor = await cluster.supervise(invocation, { ports }).catch(() => undefined);
        if (!supervisor) return { host, epoch, outcome: 'fenced' };
        if (guest === undefined) supervisor.session.report('guest-started');
        guest = epoch;
        joined.get(name)!.add(supervisor);
        return live(supervisor).finally(() => joined.get(name)!.delete(supervisor));
      };
    };
    /** As Lambda has it: an idle sandbox if there is one, else a new one. */
    const sandboxes = (name: string) => {
      const idle: Array<ReturnType<typeof sandbox>> = [];
      return async (invocation: Invocation) => {
        const one = idle.pop() ?? sandbox(name);
        return one(invocation).finally(() => idle.push(one));
      };
    };
    for (const name of names) cluster.host(name, sandboxes(name));

    const end = performance.now() + DURATION;
    const outcomes = new Map<string, number>();
    /** How many looks in a row found a host joined twice. */
    const doubled = new Map<string, number>();
    const watch = (async () => {
      while (performance.now() < end) {
        for (const [name, supervisors] of joined) {
          const twice = [...supervisors].filter((s) => s.session.connected).length > 1;
          const looks = twice ? (doubled.get(name) ?? 0) + 1 : 0;
          doubled.set(name, looks);
          if (looks === FENCED_WITHIN / LOOK_EVERY) problems.push(`${name} is in the cluster twice`);
        }
        await sleep(LOOK_EVERY);
      }
    })();
    const clients = Array.from({ length: CLIENTS }, async () => {
      const client = await cluster.client();
      const epochs = new Map<string, { readonly epoch: number; readonly seed: number }>();
      while (performance.now() < end) {
        const name = names[Math.floor(next() * HOSTS)];
        const began = performance.now();
        const locate = client.locate(name, 80).then(({ location }) => {
          const { host, epoch } = location;
          const last = epochs.get(host);
          const comparable = last && (reserved || last.seed === seeds);
          if (comparable && epoch < last.epoch) problems.push(`${host}: epoch ${epoch} after ${last.epoch}`);
          epochs.set(host, { epoch, seed: seeds });
        });
        const { errno } = await failure(locate);
        const took = performance.now() - began;
        if (took > DEADLINE + 1_000) problems.push(`a locate of ${name} took ${Math.round(took)} ms`);
        outcomes.set(errno, (outcomes.get(errno) ?? 0) + 1);
        await sleep(next() * 20);
      }
    });
    const restarts = (async () => {
      for (let i = 0; i < 2; i++) {
        await sleep(DURATION / 3);
        // What is answered meanwhile may be either's.
        seeds += 1;
        await cluster.restartSeed({ grace: 200 });
        seeds += 1;
      }
    })();
    await Promise.all([...clients, restarts, watch]);
    over = true;
    expect(problems).toEqual([]);
    expect(outcomes.get('none')).toBeGreaterThan(0);
  },
  30_000,
);
