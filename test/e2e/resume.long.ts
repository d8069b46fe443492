/** A connect to a suspended host: over the connection to the seed that it had, or what is done where that is gone. */
import { readFileSync } from 'node:fs';
import { readPlatform } from '../../src/local';
import { untilAsleep } from '../support/asleep';
import { bootCluster, EACH_TRANSPORT, type TestCluster } from '../support/cluster';
import { dialFiles, dialFrom, echo } from '../support/dial';
import { networkOf } from '../support/network';
import { mentioning, processesOf } from '../support/processes';

let cluster: TestCluster;
afterEach(() => cluster?.dispose());

/** It runs, and then sleeps. */
async function asleep(...upArguments: string[]): Promise<void> {
  cluster = await bootCluster([{ ...echo('echo'), idleTimeout: 500, releaseTimeout: 600_000 }], {
    name: 'resume',
    files: dialFiles,
    upArguments,
  });
  await connect();
  await untilAsleep(cluster, 'echo');
}

const connect = async () => expect(await dialFrom(cluster, 'client', 'echo', 1)).toEqual({ ok: 1, failed: [] });

/** How its supervisor has joined so far. */
async function joins(): Promise<Array<'parked' | 'new'>> {
  const lines = (await cluster.logs('echo')).split('\n').filter((line) => line.includes('joined the cluster'));
  return lines.map((line) => (line.includes('parked=true') ? 'parked' : 'new'));
}

const seedPid = () => {
  const seeds = mentioning(`seed.js --manifest ${readPlatform(cluster.state)?.manifestFile}`);
  return seeds.find((pid) => !mentioning('sandbox --control').includes(pid))!;
};

const count = async (event: string) =>
  (await cluster.events()).filter((e) => e.host === 'echo' && e.event === event).length;

test.each(EACH_TRANSPORT)('network %s: it joins over the connection that it had, again and again', async (_, flags) => {
  await asleep(...flags);
  for (let sleeps = 2; sleeps <= 3; sleeps++) {
    await connect();
    await untilAsleep(cluster, 'echo');
  }
  expect(await joins()).toEqual(['new', 'parked', 'parked']);
  expect([await count('allocating'), await count('resumed')]).toEqual([1, 2]);
});

const ESTABLISHED = '01';
/** Of the TCP sockets that a process sees: local and remote port, and bytes that wait to be acknowledged. */
function established(pid: number) {
  const [, ...rows] = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').trim().split('\n');
  const fields = rows.map((row) => row.trim().split(/\s+/)).filter(([, , , state]) => state === ESTABLISHED);
  const port = (end: string) => Number.parseInt(end.split(':')[1], 16);
  return fields.map(([, local, remote, , queues]) => ({
    ports: [port(local), port(remote)],
    unacknowledged: Number.parseInt(queues, 16),
  }));
}

test('network nat: nothing waits for it to be acknowledged while it sleeps, at neither side', async () => {
  await asleep('--network', 'nat');
  const port = Number(readPlatform(cluster.state)!.seed.split(':')[1]);
  const [sandbox] = processesOf('resume-echo');
  const own = established(sandbox).filter(({ ports }) => ports[1] === port);
  expect(own).toEqual([{ ports: [expect.any(Number), port], unacknowledged: 0 }]);
  // Its NAT preserves ports.
  const [{ ports }] = own;
  const seeds = established(seedPid()).filter((one) => one.ports[0] === port && one.ports[1] === ports[0]);
  expect(seeds).toEqual([{ ports: [port, ports[0]], unacknowledged: 0 }]);
});

test.each([
  ['has forgotten the connection', 'forget'],
  ['has another address', 'move'],
] as const)('network nat: its NAT %s', async (_, fault) => {
  await asleep('--network', 'nat');
  await networkOf(cluster.state).faults[fault]('echo');
  await connect();
  expect(await joins()).toEqual(['new', 'new']);
  expect([await count('allocating'), await count('resumed')]).toEqual([1, 1]);
});

test.each([['flat'], ['nat']])('network %s: the seed was killed meanwhile', async (network) => {
  await asleep('--network', network);
  process.kill(seedPid(), 'SIGKILL');
  await connect();
  expect(await count('allocating')).toBeGreaterThanOrEqual(1);
});

test.each([['flat'], ['nat']])('network %s: its sandbox is gone', async (network) => {
  await asleep('--network', network);
  for (const pid of processesOf('resume-echo')) process.kill(pid, 'SIGKILL');
  await connect();
  // By the platform's word, or by that of the new sandbox.
  expect((await count('allocating')) + (await count('replaced'))).toBe(2);
  expect(await joins()).toEqual(['new', 'new']);
});
