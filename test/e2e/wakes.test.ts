/** Data on an open connection wakes a suspended host, whichever way it goes and whatever has forgotten it meanwhile. */
import { untilAsleep } from '../support/asleep';
import { bootCluster, EACH_TRANSPORT, type TestCluster } from '../support/cluster';
import { echo } from '../support/dial';
import { guestFiles, python } from '../support/guests';
import { openLine } from '../support/line';
import { networkOf } from '../support/network';

const sleepy = { idleTimeout: 500, releasePolicy: 'no-traffic' } as const;
/** Its guest keeps a connection to `echo`, once somebody has connected to it, and says what it is told. */
const caller = { name: 'caller', command: [python, 'teller.py', 'echo', '7000'], ...sleepy };

let cluster: TestCluster;
afterEach(() => cluster?.dispose());

const alarm = { name: 'alarm', command: [python, 'alarm.py', '7002'], ...sleepy };

async function boot(...upArguments: string[]) {
  cluster = await bootCluster([{ ...echo('echo'), ...sleepy }, caller, alarm], {
    name: 'wakes',
    files: guestFiles('echo.py', 'hold.py', 'teller.py', 'alarm.py'),
    upArguments,
  });
}

const is = (event: string, host: string) => (e: { host: string | null; event: string }) =>
  e.event === event && e.host === host;

/** So many times so far. */
const times = async (event: string, host: string) => (await cluster.events()).filter(is(event, host)).length;

const asleep = (host: string) => untilAsleep(cluster, host);

const talk = async (host: string, port: string) => (await openLine(cluster, host, port)).say;

test.each(EACH_TRANSPORT)("network %s: a client's data, again and again", async (_, flags) => {
  await boot(...flags);
  const say = await talk('echo', '7000');
  expect(await say('first')).toBe('first');
  for (const round of ['second', 'third']) {
    await asleep('echo');
    const before = await times('resuming', 'echo');
    expect(await say(round)).toBe(round);
    await asleep('echo');
    expect(await times('resuming', 'echo')).toBe(before + 1);
  }
  expect(await cluster.host('echo')).toMatchObject({ state: 'suspended', allocations: 1 });
  const resuming = (await cluster.events()).find(is('resuming', 'echo'));
  expect(resuming?.detail).toMatchObject({ port: null, why: 'data on an open connection' });
});

test.each(EACH_TRANSPORT)("network %s: another host's data, and both sleep again", async (_, flags) => {
  await boot(...flags);
  const say = await talk('caller', '7001');
  expect(await say('first')).toBe('first');
  await asleep('echo');
  await asleep('caller');
  // The client's data wakes the caller, whose data wakes the one that it has its own connection with.
  expect(await say('second')).toBe('second');
  await asleep('echo');
  await asleep('caller');
  for (const host of ['echo', 'caller']) expect(await cluster.host(host)).toMatchObject({ allocations: 1 });
});

test("a timer of its guest's", async () => {
  await boot('--network', 'flat');
  const connect = "import socket; socket.create_connection(('alarm', 7002)).close()";
  expect(await cluster.exec([python, '-c', connect])).toMatchObject({ code: 0 });
  await asleep('alarm');
  const { detail } = await cluster.waitFor(is('resuming', 'alarm'));
  expect(detail).toMatchObject({ port: null, why: 'a timer of its guests' });
  await asleep('alarm');
  expect(await cluster.logs('alarm')).toContain('it rang');
});

async function forgotten(...flags: string[]) {
  await boot('--network', 'nat', ...flags);
  const say = await talk('caller', '7001');
  expect(await say('first')).toBe('first');
  await asleep('echo');
  await asleep('caller');
  const { faults } = networkOf(cluster.state);
  await faults.forget('echo');
  await faults.forget('caller');
  return say;
}

test('NATs that have forgotten the connections while the hosts slept, and let what comes from inside revive them', async () => {
  const say = await forgotten('--nat', 'port-preserving+loose');
  expect(await say('second')).toBe('second');
  for (const host of ['echo', 'caller']) expect(await cluster.host(host)).toMatchObject({ allocations: 1 });
});

test('NATs that have forgotten the connections for good: both sides are told, and new ones work', async () => {
  const say = await forgotten();
  const began = performance.now();
  expect(await say('second')).toMatch(/ConnectionResetError|BrokenPipeError/);
  expect(performance.now() - began).toBeLessThan(15_000);
  expect(await (await talk('caller', '7001'))('third')).toBe('third');
});
