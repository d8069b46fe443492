/**
 * Paths that are gone without a word while both sides run: a NAT has forgotten its connections, or has another address;
 * the machine of a client has vanished. Open connections end on both sides, also where a side only waits for an answer,
 * and a connect waits until its host is found again.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { guestFiles, python } from '../support/guests';
import { networkOf, type TestNetwork } from '../support/network';

/** What a person would wait for an answer, milliseconds: the same as chaos allows. */
const HANGS = 30_000;

let cluster: TestCluster;
let network: TestNetwork;
async function boot(nat: string): Promise<void> {
  cluster = await bootCluster([{ name: 'later', command: [python, 'later.py'], idleTimeout: 300_000 }], {
    name: 'silence',
    files: guestFiles('later.py', 'hold.py'),
    upArguments: ['--network', 'nat', '--nat', nat],
  });
  network = networkOf(cluster.state);
}
afterEach(() => cluster?.dispose());

/** A client that has said a line, which the host has heard and does not answer yet. */
async function waiting(): Promise<{ readonly child: ChildProcess; readonly answer: Promise<string> }> {
  const child = cluster.start([python, join(cluster.folder, 'hold.py'), 'later', '7000']);
  const lines = createInterface({ input: child.stdout! });
  expect(await once(lines, 'line')).toEqual(['connected']);
  const answer = once(lines, 'line').then(([line]) => String(line));
  child.stdin!.write('question\n');
  await eventually(async () => (await cluster.logs('later')).includes('heard'));
  return { child, answer };
}

/** Has the host answer. It is connected to for that, by whatever its NAT is now. */
async function release(): Promise<void> {
  const run = await cluster.exec([python, '-c', RELEASE]);
  expect(run).toMatchObject({ code: 0, stdout: 'released\n' });
}

const DEAD = /ConnectionResetError|BrokenPipeError/;
const RELEASE = `
import socket
with socket.create_connection(('later', 7001)) as sock:
    print(sock.makefile().readline().strip())
`;

describe.each(['port-preserving', 'symmetric'])('behind NATs that are %s', (nat) => {
  test.each<[string, () => Promise<unknown>]>([
    ['forgets', () => network.faults.forget('later')],
    ['has another address', () => network.faults.move('later')],
  ])("the host's NAT %s: its answer is lost, and the client that waits for it is reset", async (_, fault) => {
    await boot(nat);
    const { child, answer } = await waiting();
    await fault();
    await release();
    const began = Date.now();
    expect(await answer).toMatch(/ConnectionResetError/);
    expect(Date.now() - began).toBeLessThan(HANGS);
    await eventually(async () => DEAD.test(await cluster.logs('later')));
    child.stdin!.end();
    expect(await cluster.host('later')).toMatchObject({ allocations: 1, state: 'running' });
  });
});

test('the NAT of a host that has nothing to say forgets: it resets its end, and the client that waits hears of that', async () => {
  await boot('port-preserving');
  const { child, answer } = await waiting();
  await network.faults.forget('later');
  // The host is found again for it, and sees by that what has not survived.
  const other = cluster.start([python, join(cluster.folder, 'hold.py'), 'later', '7000']);
  expect(await answer).toMatch(/ConnectionResetError/);
  for (const one of [child, other]) one.stdin!.end();
});

test('the machine of a client vanishes: the host that serves it is sent a reset', async () => {
  await boot('port-preserving');
  const { child, answer } = await waiting();
  await release();
  expect(await answer).toBe('question');
  await network.faults.cut(true, 'client');
  child.kill('SIGKILL');
  // A read that another thread waits in may end without an error; whatever comes after it has one.
  await eventually(async () => DEAD.test(await cluster.logs('later')), 60_000);
});
