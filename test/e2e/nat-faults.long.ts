/**
 * Faults of network `nat`: what can still be connected is, what cannot be ends within its deadline, and nothing else is
 * hurt.
 */
import { readPlatform } from '../../src/local';
import { bootCluster, type TestCluster } from '../support/cluster';
import { dialFiles, dialFrom, echo, other } from '../support/dial';
import { guestFiles } from '../support/guests';
import { openLine } from '../support/line';
import { networkOf, type TestNetwork } from '../support/network';
import { mentioning, processesOf } from '../support/processes';

let cluster: TestCluster;
let network: TestNetwork;
beforeEach(async () => {
  cluster = await bootCluster([echo('echo'), other], {
    name: 'faults',
    files: { ...dialFiles, ...guestFiles('hold.py') },
    upArguments: ['--network', 'nat'],
  });
  network = networkOf(cluster.state);
});
afterEach(() => cluster?.dispose());

/** By a guest of `other`, which keeps some connections ready. */
const dial = (count: number, parallel = 1) => dialFrom(cluster, 'other', 'echo', count, parallel);

/** One connection, which ends with an error if it was kept ready and is dead by now: then all others are dropped. */
async function unlessKept(): Promise<string> {
  const { ok, failed } = await dial(1);
  if (ok === 0) await cluster.waitFor(named('peer-silent', 'other'));
  return failed.join();
}

const hold = () => openLine(cluster, 'echo', '7000');

const named = (event: string, host: string) => (e: { host: string | null; event: string }) =>
  e.event === event && e.host === host;
const relayed = async () => (await cluster.events()).filter(({ event }) => event === 'relay-started').length;

function seedPid(): number {
  const [pid] = mentioning(`seed.js --manifest ${readPlatform(cluster.state)?.manifestFile}`).filter(
    (one) => !mentioning('sandbox --control').includes(one),
  );
  return pid;
}

test('a NAT that forgets: what was kept ready ends with a reset, once; then connections work again', async () => {
  expect(await dial(20)).toEqual({ ok: 20, failed: [] });
  await network.faults.forget('echo');
  expect(await unlessKept()).toMatch(/^$|ConnectionResetError/);
  expect(await dial(20)).toEqual({ ok: 20, failed: [] });
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
});

test('NATs that answer what nobody asked for with a reset', async () => {
  await dial(1);
  // Without a distance the answer is there before a SYN of the other side can be under way.
  await network.faults.rtt(2);
  await network.faults.refuse('echo', true);
  await network.faults.refuse('other', true);
  expect(await dial(1, 64)).toEqual({ ok: 64, failed: [] });
  expect(await dial(50)).toEqual({ ok: 50, failed: [] });
  expect(await relayed()).toBe(0);
});

test('a host that comes back with another address', async () => {
  await dial(20);
  const joined = (await cluster.events()).find(named('joined', 'echo'));
  const address = await network.faults.move('echo');
  expect(await unlessKept()).toMatch(/^$|ConnectionResetError/);
  expect(await dial(20)).toEqual({ ok: 20, failed: [] });
  expect(joined?.detail.address).not.toBe(address);
  const rejoined = await cluster.waitFor(named('rejoined', 'echo'));
  expect(rejoined.detail).toMatchObject({ address });
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
});

test('the internet is cut for 10 s: an open connection goes on, a connect goes through when it is back', async () => {
  const held = await hold();
  expect(await held.say('before')).toBe('before');
  await network.faults.cut(true);
  const saying = held.say('during');
  const connecting = hold();
  await new Promise((done) => setTimeout(done, 10_000)); // the outage itself
  await network.faults.cut(false);
  expect(await saying).toBe('during');
  const second = await connecting;
  expect(await second.say('new')).toBe('new');
  expect(await held.say('after')).toBe('after');
  await Promise.all([held.end(), second.end()]);
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
});

test('a supervisor that has stopped: an open connection goes on, a connect waits and goes through in the end', async () => {
  const held = await hold();
  // A connection stands at the client before the guest has it: that takes the supervisor, everything after it does not.
  expect(await held.say('before')).toBe('before');
  const [supervisor] = processesOf('faults-echo').filter((pid) => mentioning('bootstrap.js').includes(pid));
  process.kill(supervisor, 'SIGSTOP');
  try {
    const connecting = hold();
    expect(await held.say('to the guest')).toBe('to the guest');
    // Neither punched nor relayed by now: it did not answer.
    await cluster.waitFor(named('relay-unused', 'echo'));
    process.kill(supervisor, 'SIGCONT');
    const second = await connecting;
    expect(await second.say('new')).toBe('new');
    await Promise.all([held.end(), second.end()]);
  } finally {
    process.kill(supervisor, 'SIGCONT');
  }
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
});

test('the seed is killed in the middle of 50 connects: all of them succeed, an open connection does not notice', async () => {
  await dial(1);
  const held = await hold();
  const dialling = dial(1, 50);
  process.kill(seedPid(), 'SIGKILL');
  expect(await held.say('without a seed')).toBe('without a seed');
  expect(await dialling).toEqual({ ok: 50, failed: [] });
  await held.end();
  expect(await cluster.host('echo')).toMatchObject({ allocations: 1 });
});
