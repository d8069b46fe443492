/**
 * A sandbox that vanishes without a packet: what Lambda's recycling looks like to the other end of a connection. Its
 * peers' connections are reset, on whichever side they were made, and keep no host up.
 */
import { bootCluster, type TestCluster } from '../support/cluster';
import { echo } from '../support/dial';
import { guestFiles, python } from '../support/guests';
import { openLine } from '../support/line';
import { networkOf } from '../support/network';
import { processesOf } from '../support/processes';

const idle = { idleTimeout: 1_000 };
/** Its guest keeps a connection to `echo`, once somebody has connected to it. */
const caller = { name: 'caller', command: [python, 'keeper.py', 'echo', '7000'], ...idle };

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await bootCluster([{ ...echo('echo'), ...idle }, caller], {
    name: 'vanished',
    files: guestFiles('echo.py', 'hold.py', 'keeper.py'),
    upArguments: ['--network', 'nat'],
  });
});
afterEach(() => cluster?.dispose());

/** The host's part of the internet is cut first, so that nobody is sent the ends of its connections. */
async function vanish(host: string): Promise<void> {
  const { faults } = networkOf(cluster.state);
  await faults.cut(true, host);
  const ended = cluster.waitFor(({ host: of, event }) => of === host && event === 'failed');
  for (const pid of processesOf(`vanished-${host}`)) process.kill(pid, 'SIGKILL');
  await ended;
  await faults.cut(false, host).catch(() => undefined); // its slot is gone
}

const is = (event: string, host: string) => (e: { host: string | null; event: string }) =>
  e.event === event && e.host === host;

const hold = async () => (await openLine(cluster, 'echo', '7000')).say;

test('a client that connected to it is reset, and the next connect allocates it', async () => {
  const say = await hold();
  expect(await say('before')).toBe('before');
  await vanish('echo');
  expect(await say('after')).toMatch(/ConnectionResetError|BrokenPipeError/);
  const again = await hold();
  expect(await again('again')).toBe('again');
});

test('a host that connected to it reads a reset, and does not stay up for it', async () => {
  const dialled = await cluster.exec([python, '-c', DIAL]);
  expect(dialled).toMatchObject({ code: 0, stdout: 'kept\n' });
  await vanish('echo');
  await cluster.waitFor(is('suspended', 'caller'));
  expect(await cluster.logs('caller')).toContain('ConnectionResetError');
});

test('a host that it had connected to does not stay up for it', async () => {
  const dialled = await cluster.exec([python, '-c', DIAL]);
  expect(dialled).toMatchObject({ code: 0, stdout: 'kept\n' });
  await vanish('caller');
  await cluster.waitFor(is('suspended', 'echo'));
});

/** Has `caller` make its connection. */
const DIAL = `
import socket
with socket.create_connection(('caller', 7001)) as sock:
    print(sock.makefile().readline().strip())
`;
