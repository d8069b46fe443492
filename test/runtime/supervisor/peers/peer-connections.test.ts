/** Which processes are told of their connections, and when nothing is looked for at all. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import * as abi from '../../../../src/contract/abi/generated';
import { loadNative } from '../../../../src/native/addon/load';
import { trackGuests } from '../../../../src/runtime/supervisor/guest/processes';
import { PeerConnections } from '../../../../src/runtime/supervisor/peers/peer-connections';
import { tcpSockets } from '../../../../src/runtime/supervisor/sockets/proc-net';
import { python } from '../../../support/guests';

jest.setTimeout(30_000);

const [ADDRESS, EPOCH] = [0x6440_0102, 1_764_460_000_123];

/** Says which signal it gets, and what is written to it. It leads a session, as guests do. */
const PROGRAM = `
import os, signal, socket, sys
os.setsid()
signal.signal(61, lambda *_: print('told', flush=True))
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
print(s.getsockname()[1], flush=True)
while True:
    print(sys.stdin.readline().strip(), flush=True)
`;

let server: Server;
const children: ChildProcess[] = [];
beforeAll(async () => {
  server = createServer((socket) => socket.on('error', () => undefined));
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => server.close());
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function guest() {
  const { port } = server.address() as { port: number };
  const child = spawn(python, ['-c', PROGRAM, String(port)], { stdio: 'pipe' });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string;
  const own = Number(await next());
  const socket = tcpSockets(loadNative()).find(({ localPort, remotePort }) => localPort === own && remotePort === port);
  /** It has been told nothing that it has not said yet. */
  const isQuiet = async () => {
    child.stdin.write('quiet\n');
    return (await next()) === 'quiet';
  };
  return { pid: child.pid!, cookie: socket!.cookie!, next, isQuiet };
}

function setUp(guests: ReadonlyArray<Awaited<ReturnType<typeof guest>>>, handoff = true) {
  const memory = new ArrayBuffer(abi.IM_SOCKETS_SIZE);
  const view = new DataView(memory);
  const { SIZE, ...at } = abi.im_socket_slot;
  for (const [slot, { cookie }] of guests.entries()) {
    view.setUint32(slot * SIZE + at.flags, abi.IM_SOCKET_HANDOFF, true);
    view.setBigUint64(slot * SIZE + at.cookie, BigInt(cookie), true);
    view.setUint32(slot * SIZE + at.peer, ADDRESS, true);
    view.setBigUint64(slot * SIZE + at.epoch, BigInt(EPOCH), true);
  }
  const processes = trackGuests({ mapped: '/nobody/maps/this' });
  for (const { pid } of guests) processes.add(pid);
  const peers = new PeerConnections({
    memory,
    native: loadNative(),
    handoff,
    guests: () => processes,
    log: () => undefined,
  });
  const isMarked = (slot: number) => (view.getUint32(slot * SIZE + at.flags, true) & abi.IM_SOCKET_PROBE) !== 0;
  return { peers, isMarked };
}

test('all connections are probed', async () => {
  const guests = [await guest(), await guest()];
  const { peers, isMarked } = setUp(guests);
  peers.probe();
  expect([isMarked(0), isMarked(1)]).toEqual([true, true]);
  for (const { next } of guests) expect(await next()).toBe('told');
});

test('some are probed: a process that has none of them gets no signal', async () => {
  const [one, other] = [await guest(), await guest()];
  const { peers, isMarked } = setUp([one, other]);
  peers.probe(({ cookie }) => cookie === other.cookie);
  expect([isMarked(0), isMarked(1)]).toEqual([false, true]);
  expect(await other.next()).toBe('told');
  expect(await one.isQuiet()).toBe(true);
});

test('one that is closed is not probed, and its process gets no signal', async () => {
  const [one, other] = [await guest(), await guest()];
  const closed = { ...other, cookie: 2 ** 40 };
  const { peers, isMarked } = setUp([one, closed]);
  peers.probe();
  expect([isMarked(0), isMarked(1)]).toEqual([true, false]);
  expect(await one.next()).toBe('told');
  expect(await other.isQuiet()).toBe(true);
});

test.each([
  [true, 1],
  [false, 0],
])('an epoch ends (supervisors make connections: %s)', (handoff, timers) => {
  jest.useFakeTimers();
  try {
    const { peers } = setUp([], handoff);
    peers.ended(ADDRESS, EPOCH + 1);
    expect(jest.getTimerCount()).toBe(timers);
    peers.close();
    expect(jest.getTimerCount()).toBe(0);
  } finally {
    jest.useRealTimers();
  }
});
