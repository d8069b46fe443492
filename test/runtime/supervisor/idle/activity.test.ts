/** What real processes with real sockets look like. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { formatAddress } from '../../../../src/contract/manifest/address';
import { loadNative } from '../../../../src/native/addon/load';
import { trackGuests } from '../../../../src/runtime/supervisor/guest/processes';
import { watchActivity } from '../../../../src/runtime/supervisor/idle/activity';
import {
  parseTcp,
  readProcNet,
  tcpSockets,
  timeWaitSockets,
} from '../../../../src/runtime/supervisor/sockets/proc-net';
import { eventually } from '../../../support/eventually';

jest.setTimeout(30_000);

/** Runs one line of Python at a time, and answers each with what it evaluates to. */
const PROGRAM = `
import socket, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
print('ready', flush=True)
for line in sys.stdin:
    try:
        print(eval(line), flush=True)
    except SyntaxError:
        exec(line)
        print('done', flush=True)
`;
let python: ChildProcess;
let answers: AsyncIterator<string>;
let reader: Interface;
let server: Server;
let accepted: Socket[];
beforeEach(async () => {
  python = spawn('/usr/bin/python3', ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  reader = createInterface({ input: python.stdout! });
  answers = reader[Symbol.asyncIterator]();
  await answers.next();
  accepted = [];
  server = createServer((socket) => accepted.push(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  python.kill('SIGKILL');
  for (const socket of accepted) socket.destroy();
  server.close();
});

async function guest(line: string): Promise<string> {
  python.stdin!.write(`${line}\n`);
  return (await answers.next()).value;
}
/** The first connection that our own server gets. */
const connection = async (): Promise<Socket> => accepted[0] ?? (await once(server, 'connection'))[0];
const port = () => (server.address() as { port: number }).port;
/** A host's own loopback alias in network `flat`; another one each time, for TIME_WAIT outlasts a test run. */
const ownAddress = () => 0x7f_4d_00_00 + Math.floor(Math.random() * 0xfffe) + 1;

function watch(addresses: number[] = []) {
  const processes = trackGuests({ environment: 'NONE=1', mapped: '/none' });
  processes.add(python.pid!);
  const isDead = () => false;
  return watchActivity({ processes, native: loadNative(), isDead, addresses, nameOf: () => undefined, seedPort: 0 });
}

test('CPU time, of children that came and went too', async () => {
  const look = watch();
  look();
  await guest('burn(0.1)');
  expect(look().cpu).toBeGreaterThanOrEqual(90);
  expect(look().cpu).toBeLessThan(40);
  await guest('import subprocess');
  look();
  await guest("subprocess.run(['sh', '-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'])");
  expect(look().cpu).toBeGreaterThan(30);
});

test('connections out and in; ended ones do not count', async () => {
  const look = watch();
  expect(look().connections).toBe(0);
  await guest(`c = socket.create_connection(('127.0.0.1', ${port()}))`);
  expect(look().connections).toBe(1);
  await guest('c.close()');
  expect(look().connections).toBe(0);

  await guest("l = socket.create_server(('127.0.0.1', 0))");
  expect(look()).toMatchObject({ connections: 0, queued: 0 });
  const client = connect(Number(await guest('l.getsockname()[1]')), '127.0.0.1');
  await new Promise((resolve) => client.once('connect', resolve));
  expect(look()).toMatchObject({ connections: 0, queued: 1 });
  await guest('s = l.accept()[0]');
  expect(look()).toMatchObject({ connections: 1, queued: 0 });
  // The other side has gone, and the guest keeps its descriptor: a client's pool, for example.
  client.destroy();
  await guest("s.recv(1) == b''");
  expect(look().connections).toBe(0);
});

test('a connection of the host with itself does not count, over IPv6 neither', async () => {
  const look = watch();
  await guest(
    "l = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname()); s = l.accept()[0]",
  );
  expect(look().connections).toBe(0);
  await guest(
    "l6 = socket.create_server(('::1', 0), family=socket.AF_INET6); c6 = socket.create_connection(l6.getsockname()[:2]); s6 = l6.accept()[0]",
  );
  expect(look().connections).toBe(0);
});

test("a connection to the host's resolver does not count, open or closed", async () => {
  const resolver = createServer((socket) => socket.on('error', () => undefined).end());
  await new Promise<void>((resolve) => resolver.listen(0, '127.0.53.53', resolve));
  try {
    // With an address of its own: connections that other tests close do not count.
    const own = ownAddress();
    const look = watch([own]);
    const { port: at } = resolver.address() as { port: number };
    const dial = `c = socket.create_connection(('127.0.53.53', ${at}), source_address=('${formatAddress(own)}', 0))`;
    await guest(dial);
    expect(look()).toMatchObject({ connections: 0, moved: false });
    await guest('c.shutdown(socket.SHUT_WR)');
    await guest("c.recv(1) == b''");
    await guest('c.close()');
    // The kernel lists it as closed. The next tests show that a connection to another peer counts then.
    await eventually(() => timeWaitSockets(loadNative()).some((s) => s.local === own || s.remote === own));
    expect(look().closed()).toBeUndefined();
  } finally {
    resolver.close();
  }
});

test('bytes that move', async () => {
  const look = watch();
  look();
  await guest(`c = socket.create_connection(('127.0.0.1', ${port()}))`);
  expect(look()).toMatchObject({ connections: 1, moved: true });
  expect(look()).toMatchObject({ connections: 1, moved: false });
  await guest("c.sendall(b'x')");
  expect(look()).toMatchObject({ moved: true });
  expect(look()).toMatchObject({ moved: false });
  (await connection()).write('y');
  await guest('c.recv(1)');
  expect(look()).toMatchObject({ moved: true });
});

test('a connection that came and went between two looks is seen', async () => {
  const own = ownAddress();
  const look = watch([own]);
  expect(look().closed()).toBeUndefined();
  await guest(
    `c = socket.create_connection(('127.0.0.1', ${port()}), source_address=('${formatAddress(own)}', 0)); c.close()`,
  );
  // It is the guest that closes first: TIME_WAIT is on its side when our side has closed too.
  const ours = await connection();
  ours.end().resume();
  if (!ours.closed) await once(ours, 'close');
  const closed = look().closed();
  expect(closed).toBeGreaterThanOrEqual(0);
  expect(closed).toBeLessThan(2_000);
});

test("the kernel's list: addresses, states, queues", () => {
  const sockets = parseTcp(
    [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
      '   0: 0100007F:07E8 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1227 1 0000 100 0 0 10 0',
      '   1: 0000000000000000FFFF00000201407F:0050 0000000000000000FFFF00000301407F:C001 06 00000010:00000000 03:00000BB8 00000000  0 0 0 3 0000',
      '   2: 00000000000000000000000001000000:0050 00000000000000000000000001000000:C001 01 00000000:00000000 00:00000000 00000000  0 0 77 3 0000',
    ].join('\n'),
  );
  expect(sockets[0]).toMatchObject({ local: 0x7f000001, localPort: 2024, state: 10, receiveQueue: 2, inode: 1227 });
  expect(sockets[1]).toMatchObject({ local: 0x7f400102, remote: 0x7f400103, state: 6, sendQueue: 16, timer: 30_000 });
  expect(sockets[2]).toMatchObject({ local: -1, remote: -1, localPort: 80, inode: 77 });
  expect(readProcNet('/no/such/folder')).toEqual([]);
});

test('sock_diag and /proc/net tell the same', async () => {
  await guest(`c = socket.create_connection(('127.0.0.1', ${port()}))`);
  await connection();
  const ofServer = (socket: { localPort: number }) => socket.localPort === port();
  const byState = (a: { state: number }, b: { state: number }) => a.state - b.state;
  const told = tcpSockets(loadNative()).filter(ofServer).sort(byState);
  const read = tcpSockets({ tcpSockets: () => null })
    .filter(ofServer)
    .sort(byState);
  expect(told.map((s) => s.state)).toEqual([1, 10]);
  // Of a listener, sock_diag tells the length of its queue where /proc/net has nothing.
  expect(told.map(({ bytes, cookie, lastAck, retransmitted, ...rest }) => ({ ...rest, sendQueue: 0 }))).toEqual(read);
  expect(timeWaitSockets({ tcpSockets: () => null }).every((s) => s.timer <= 60_000)).toBe(true);
});
