/** Locations that are old, and supervisors that are gone, silent or wrong. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Peer, passed, type Result, start, startEcho, startPeer } from './harness';

jest.setTimeout(60_000);

let peer: Peer;

beforeAll(async () => {
  peer = await startPeer(236, ['plain', 'trap']);
});
afterAll(() => peer?.close());

const LOST = "imaginary: this host's supervisor does not answer; other hosts are unreachable\n";
const EHOSTUNREACH = '113';
const PYTHON = '/usr/bin/python3';

async function blocking(port: string, errno: string): Promise<Result> {
  return (await peer.program('web', 'blocking', ['db', port, errno], 'trap')).ended;
}

async function waiting(port: string, errno: string): Promise<Result> {
  return (await peer.program('web', 'nonblocking', ['db', port, errno, 'soon'], 'trap')).ended;
}

test.each([
  ['silent', blocking],
  ['silent', waiting],
  ['garbage', blocking],
  ['garbage', waiting],
])('a supervisor that is %s', async (trouble, run) => {
  await peer.tell(`trouble db ${trouble}`);
  const { code, stderr } = await run('7000', EHOSTUNREACH);
  await peer.tell('trouble db none');
  expect({ code, stderr }).toEqual({ code: 0, stderr: LOST });
});

describe('a port that is listed, but nobody listens there', () => {
  test('is asked for, and refused when the supervisor says so', async () => {
    await peer.tell('list db 7100 7100');
    await peer.tell('fail db 111');
    const before = (await peer.stats()).connects;
    passed(await blocking('7100', '111'));
    expect((await peer.stats()).connects).toBeGreaterThan(before);
    passed(await waiting('7100', '111'));
    await peer.tell('fail db 0');
  });

  test('is refused when the supervisor insists', async () => {
    await peer.tell('list db 7101 7101');
    passed(await blocking('7101', '111'));
  });

  test('is waited for, and reached when it listens elsewhere', async () => {
    const server = await startEcho(peer, 'db');
    // The table still has the old place when the guest connects; the supervisor knows better.
    await peer.tell(`unlist db ${server.port}`);
    await peer.tell(`list db ${server.port} 1`);
    await peer.tell('hold db');
    const guests = await Promise.all([
      peer.program('web', 'blocking', ['db', server.port, '0'], 'trap'),
      peer.program('web', 'nonblocking', ['db', server.port, '0'], 'trap'),
    ]);
    await guests[1].line('pending');
    await peer.tell(`unlist db ${server.port}`);
    await peer.tell(`list db ${server.port} ${server.port}`);
    await peer.tell('go db');
    for (const guest of guests) passed(await guest.ended);
    await server.guest.stop();
  });
});

test('a table whose writer died is a reason to ask', async () => {
  const server = await startEcho(peer, 'db');
  await peer.tell('odd web');
  const before = (await peer.stats()).connects;
  passed(await blocking(server.port, '0'));
  expect((await peer.stats()).connects).toBe(before + 1);
  await peer.tell('even web');
  passed(await blocking(server.port, '0'));
  expect((await peer.stats()).connects).toBe(before + 1);
  await server.guest.stop();
});

/** Outside of the shim, at the real address of `db`, with a full queue: the kernel makes a connect wait until the input. */
const FULL_LISTENER = `
import socket, struct, sys
listener = socket.socket()
listener.bind(("127.236.1.3", 0))
listener.listen(0)
there = listener.getsockname()
queue = [socket.socket() for _ in range(3)]
for sock in queue: sock.setblocking(False), sock.connect_ex(there)
print("listening", there[1], flush=True)
sys.stdin.readline()
`;
const client = (port: number) => `import socket
print("connecting", flush=True)
print(socket.create_connection(("db", ${port})).getpeername())`;

const fullListener = existsSync(PYTHON) ? test : test.skip;
fullListener('a location that changes during a connect is reported', async () => {
  const script = `${FULL_LISTENER}accepted = []
while True: accepted.append(listener.accept()[0])`;
  const listener = start([PYTHON, '-c', script], process.env);
  const real = (await listener.line('listening')).split(' ')[1];
  await peer.tell(`list db 7200 ${real}`);
  const guest = peer.start('web', [PYTHON, '-c', client(7200)]);
  await guest.line('connecting');
  while (!(await connecting(Number(real))));
  const { stales } = await peer.stats();
  await peer.tell('bump db');
  listener.process.stdin?.write('go\n');
  expect(await guest.ended).toMatchObject({ code: 0, stdout: "connecting\n('100.64.1.3', 7200)\n" });
  expect((await peer.stats()).stales).toBe(stales + 1);
  await listener.stop();
});

fullListener('a host that ends in the moment in which it is connected to is asked for again', async () => {
  // The connection is reset before the guest, which is stopped, has seen that it stands.
  const script = `${FULL_LISTENER}for sock in queue: sock.close()
while True:
    accepted, (address, port) = listener.accept()
    if address != "127.236.1.1": continue
    listener.close()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    accepted.close()
    break
print("reset", flush=True)`;
  const listener = start([PYTHON, '-c', script], process.env);
  const real = (await listener.line('listening')).split(' ')[1];
  const server = await startEcho(peer, 'db');
  await peer.tell(`list db 7201 ${real}`);
  const guest = peer.start('web', [PYTHON, '-c', client(7201)]);
  await guest.line('connecting');
  while (!(await connecting(Number(real))));
  guest.process.kill('SIGSTOP');
  while (!/ T /.test(await readFile(`/proc/${guest.process.pid}/stat`, 'utf8')));
  listener.process.stdin?.write('go\n');
  await listener.line('reset');
  await peer.tell('unlist db 7201');
  await peer.tell(`list db 7201 ${server.port}`);
  guest.process.kill('SIGCONT');
  expect(await guest.ended).toMatchObject({ code: 0, stdout: "connecting\n('100.64.1.3', 7201)\n" });
  await server.guest.stop();
});

/** Whether a socket from `web` waits for an answer from that port (state SYN_SENT). */
async function connecting(port: number): Promise<boolean> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const web = '0101EC7F';
  const sockets = await readFile('/proc/net/tcp', 'utf8');
  return sockets.split('\n').some((line) => line.includes(`${web}:`) && line.includes(`:${hex} 02 `));
}

test('a supervisor whose queue is full does not hold up who asked not to wait', async () => {
  const server = await startEcho(peer, 'db');
  await peer.tell('ask db');
  const guest = await peer.program('web', 'many_pending', ['db', server.port, '100', '1'], 'trap');
  peer.pause();
  await guest.line('pending');
  peer.resume();
  passed(await guest.ended);
  await peer.tell('auto db');
  await server.guest.stop();
});

test('an address that no host has', async () => {
  const script = `import socket
try: socket.create_connection(("100.64.77.7", 80))
except OSError as error: print(error.errno)`;
  expect((await peer.run('web', ['/usr/bin/python3', '-c', script])).stdout).toBe(`${EHOSTUNREACH}\n`);
});

test('without a supervisor a guest has no network path, and says so once', async () => {
  const lonely = await startPeer(238, ['plain']);
  try {
    await lonely.halt();
    const program = await lonely.program('web', 'blocking', ['db', '7000', EHOSTUNREACH]);
    expect(await program.ended).toMatchObject({ code: 0, stderr: LOST });
    const many = await lonely.program('web', 'nonblocking', ['db', '7000', EHOSTUNREACH, 'soon']);
    expect(await many.ended).toMatchObject({ code: 0, stderr: LOST });
    const listener = await lonely.program('web', 'echo', ['0.0.0.0', '7001']);
    expect(await listener.line('listening')).toBe('listening 0.0.0.0:7001');
  } finally {
    await lonely.close();
  }
});

test('without a usable table a program runs as if there were no shim, and says so once', async () => {
  const env = { ...peer.env('web'), IMAGINARY_DIR: '/nonexistent' };
  const result = await start(['/bin/sh', '-c', 'uname -n; /bin/uname -n'], env).ended;
  expect(result.stderr).toBe('imaginary: IMAGINARY_DIR names no usable table; this program runs without its cluster\n');
  const native = await start(['/bin/uname', '-n'], process.env).ended;
  expect(result.stdout).toBe(native.stdout.repeat(2));
  const without = { ...env, IMAGINARY_DIR: undefined };
  expect(await start(['/bin/uname', '-n'], without).ended).toEqual(native);
});
