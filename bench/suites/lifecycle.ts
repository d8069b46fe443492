import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestCluster } from '../../test/support/cluster';
import { openLine } from '../../test/support/line';
import { processesOf } from '../../test/support/processes';
import { bootCold } from '../lib/cold';
import { build, inCluster } from '../lib/programs';
import { absoluteRow, median, ratioRow, type Suite } from '../lib/rows';
import { stepRows, stepsOf } from '../lib/steps';

const ROUNDS = 15;
const STEPS = ['resuming', 'invoked', 'joined', 'resumed', 'connected'] as const;
/** A host of each kind of round is its own: none has what another one left. */
const [SLEEPER, VICTIM, TALKER] = ['host-0', 'host-1', 'host-2'];
/** Each is allocated once, in a sandbox as cold as that of a host that was killed. */
const FRESH = Array.from({ length: ROUNDS }, (_, i) => `host-${3 + i}`);
/** Woken by a client that has connected before, as another host's guest has. */
const REGULAR = `host-${3 + ROUNDS}`;
const HOSTS = 4 + FRESH.length;
const HOLD = resolve(__dirname, '../../test/e2e/guests/hold.py');

/** Waits for the next event of that name of the host, after `done` so many. */
async function next(cluster: TestCluster, host: string, event: string, done: number): Promise<void> {
  let seen = 0;
  await cluster.waitFor((e) => e.host === host && e.event === event && ++seen > done);
}

/** A connection that is held open: says a line, and gives how many milliseconds the echo took. */
async function timedLine(cluster: TestCluster) {
  writeFileSync(join(cluster.folder, 'hold.py'), readFileSync(HOLD));
  const { say } = await openLine(cluster, TALKER, '7001');
  return async (text: string) => {
    const start = performance.now();
    const answer = await say(text);
    if (answer !== text) throw new Error(`the echo of '${text}' is '${answer}'`);
    return performance.now() - start;
  };
}

/** A client that stays: each call is one connect, in milliseconds to its first byte. */
function openTimed(cluster: TestCluster, command: readonly string[]): () => Promise<number> {
  const child = cluster.start(command);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return async () => {
    child.stdin!.write('\n');
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command.join(' ')} has ended`);
    return Number(value) / 1000;
  };
}

/** What it takes to wake a suspended host, by a connect and by data, and to replace one that was killed. */
export const lifecycle: Suite = {
  name: 'lifecycle',
  title: 'Waking a suspended host, and the next connect after a host was killed',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const server = build('echo-server', folder);
    const client = build('ttfb-client', folder);
    const props = { idleTimeout: 200, releaseTimeout: 600_000 };
    const cold = await bootCold(HOSTS, server, ['0.0.0.0', '7000', '7001'], props);
    const { cluster } = cold;
    const firstByte = async (host: string) =>
      (await inCluster(cluster, [client, host, '7000', '1', '0'])).median / 1000;
    try {
      const [thaw, resume, again, plain, killed, data]: number[][] = [[], [], [], [], [], []];
      await cold.bareStart(0);
      await firstByte(SLEEPER);
      await firstByte(VICTIM);
      const say = await timedLine(cluster);
      await say('warm');
      const regular = openTimed(cluster, [client, REGULAR, '7000']);
      await regular();
      for (let i = 0; i < ROUNDS; i++) {
        progress(`round ${i + 1} of ${ROUNDS}`);
        await next(cluster, SLEEPER, 'suspended', i);
        await next(cluster, TALKER, 'suspended', i);
        await next(cluster, REGULAR, 'suspended', i);
        thaw.push(await cold.bareStart(0));
        resume.push(await firstByte(SLEEPER));
        data.push(await say(`round ${i}`));
        again.push(await regular());
      }
      for (let i = 0; i < ROUNDS; i++) {
        progress(`allocation ${i + 1} of ${ROUNDS}`);
        plain.push(await firstByte(FRESH[i]));
        await firstByte(VICTIM);
        for (const pid of processesOf(`bench-${VICTIM}`)) process.kill(pid, 'SIGKILL');
        await next(cluster, VICTIM, 'failed', i);
        killed.push(await firstByte(VICTIM));
      }
      const events = await cluster.events();
      // That of data begins in the same way, and no connect is answered in it.
      const taken = stepsOf(events, SLEEPER, STEPS);
      return [
        absoluteRow('bare thaw and one invoke round trip, median', 'ms', median(thaw), null),
        ratioRow('resume: connect to first byte, median', 'ms', median(resume), median(thaw), 1.2),
        ...stepRows('of it, ', STEPS, taken, median(resume)),
        ratioRow('resume by a client that has connected before, median', 'ms', median(again), median(thaw), null),
        absoluteRow('data wake: sent to its echo, median', 'ms', median(data), 250),
        absoluteRow('plain allocation: connect to first byte, median', 'ms', median(plain), null),
        ratioRow('after a kill: connect to first byte, median', 'ms', median(killed), median(plain), 1.2),
      ];
    } finally {
      await cold.dispose();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
