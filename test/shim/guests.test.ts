/** Ordinary programs under the shim: each finds its peers by name and sees virtual addresses only. */
import { existsSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { has, type Peer, start, startEcho, startPeer } from './harness';

jest.setTimeout(120_000);

const PYTHON = '/usr/bin/python3';
const python = existsSync(PYTHON) ? test : test.skip;
const curl = has('curl') ? test : test.skip;
const guests = resolve(__dirname, '../e2e/guests');

let peer: Peer;

beforeAll(async () => {
  peer = await startPeer(240, ['plain']);
});
afterAll(() => peer?.close());

const SERVER = `
const server = require('http').createServer((request, response) => response.end(JSON.stringify({
  peer: request.socket.remoteAddress, local: request.socket.localAddress, port: request.socket.localPort })));
server.listen(Number(process.argv[1]), () => console.log('listening ' + JSON.stringify(server.address())));`;

const CLIENT = `
require('http').get({ host: process.argv[1], port: process.argv[2], agent: false }, (response) => {
  const { remoteAddress, remotePort, localAddress } = response.socket;
  let text = '';
  response.on('data', (part) => (text += part)).on('end', () =>
    console.log(JSON.stringify({ remoteAddress, remotePort, localAddress, says: JSON.parse(text) })));
}).on('error', (error) => console.log(error.code));`;

test('node serves on :: and below 1024, and is found by name', async () => {
  const server = peer.start('api', [process.execPath, '-e', SERVER, '80']);
  expect(await server.line('listening')).toBe('listening {"address":"::","family":"IPv6","port":80}');
  const ask = async (host: string, name: string) =>
    JSON.parse((await peer.run(host, [process.execPath, '-e', CLIENT, name, '80'])).stdout);
  expect(await ask('web', 'api')).toEqual({
    remoteAddress: '100.64.1.2',
    remotePort: 80,
    localAddress: '100.64.1.1',
    says: { peer: '::ffff:100.64.1.1', local: '::ffff:100.64.1.2', port: 80 },
  });
  expect(await ask('api', '127.0.0.1')).toEqual({
    remoteAddress: '127.0.0.1',
    remotePort: 80,
    localAddress: '127.0.0.1',
    says: { peer: '::ffff:127.0.0.1', local: '::ffff:127.0.0.1', port: 80 },
  });
  await server.stop();
});

test('node waits for a host that is not up, and sees it fail', async () => {
  await peer.tell('ask db');
  await peer.tell('fail db 111');
  const refused = await peer.run('web', [process.execPath, '-e', CLIENT, 'db', '81']);
  expect(refused.stdout).toBe('ECONNREFUSED\n');
  await peer.tell('fail db 110');
  const timedOut = await peer.run('web', [process.execPath, '-e', CLIENT, 'db', '81']);
  expect(timedOut.stdout).toBe('ETIMEDOUT\n');
  await peer.tell('fail db 0');
  const client = peer.start('web', [process.execPath, '-e', CLIENT, 'db', '82']);
  while ((await peer.stats()).waiting === 0);
  const server = peer.start('db', [process.execPath, '-e', SERVER, '82']);
  expect(JSON.parse((await client.ended).stdout)).toMatchObject({ remoteAddress: '100.64.1.3', remotePort: 82 });
  await server.stop();
  await peer.tell('auto db');
});

curl('curl, with python serving', async () => {
  const server = peer.start('db', [PYTHON, '-u', '-m', 'http.server', '88', '--bind', '100.64.1.3']);
  await server.line('Serving');
  const show = '%{http_code} %{remote_ip}:%{remote_port} %{local_ip}\n';
  const fetched = await peer.run('web', ['curl', '-s', '-o', join(peer.folder, 'page'), '-w', show, 'http://db:88/']);
  expect(fetched.stdout).toBe('200 100.64.1.3:88 100.64.1.1\n');
  // Bound to its virtual address only.
  const inner = await peer.run('db', ['curl', '-sS', '-o', join(peer.folder, 'page'), 'http://127.0.0.1:88/']);
  expect(inner.code).toBe(7);
  await server.stop();
});

python('python waits in every way it knows', async () => {
  await peer.tell('ask api');
  await peer.tell('hold api');
  const server = await startEcho(peer);
  const client = peer.start('web', [PYTHON, join(guests, 'nonblocking.py'), 'api', server.port, '10']);
  while ((await peer.stats()).waiting < 7);
  // The client's other threads run meanwhile.
  await client.line('ticked');
  await peer.tell('go api');
  const result = await client.ended;
  const ways = JSON.parse(result.stdout.replace('ticked\n', ''));
  for (const way of ['epollBefore', 'epollEdgeBefore', 'epollAfter', 'epollEdgeAfter', 'poll', 'select']) {
    expect({ way, ...ways[way] }).toMatchObject({
      way,
      error: 0,
      data: 'ping\n',
      peer: ['100.64.1.2', Number(server.port)],
    });
  }
  expect(ways.asyncio).toMatchObject({ error: 0, data: 'ping\n' });
  await peer.tell('auto api');
  await server.guest.stop();
});

python('python sees of other names and addresses what it sees natively', async () => {
  const script = `
import os, socket
def attempt(call, *arguments):
    try: return call(*arguments)
    except OSError as error: return type(error).__name__, error.args[0]
pair = socket.socketpair()
server = socket.create_server(("127.9.8.7", 0))
client = socket.create_connection(server.getsockname())
accepted, peer = server.accept()
print([
    attempt(socket.getaddrinfo, "localhost", 80, socket.AF_INET), attempt(socket.getaddrinfo, "10.1.2.3", "http"),
    attempt(socket.getaddrinfo, "::1", 80), attempt(socket.getaddrinfo, "no such name", 80, 0, 0, 0, socket.AI_NUMERICHOST),
    attempt(socket.getnameinfo, ("127.0.0.1", 80), 0), attempt(socket.create_connection, ("127.9.8.7", 1)),
    pair[0].getsockname(), pair[0].getpeername(), peer == client.getsockname(), accepted.getsockname() == client.getpeername(),
    client.getpeername()[0], attempt(os.close, 999), attempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect, ("127.0.0.1", 9)),
])`;
  const native = await start([PYTHON, '-c', script], process.env).ended;
  expect(native.code).toBe(0);
  expect(await peer.run('web', [PYTHON, '-c', script])).toEqual(native);
});

python('python binds the wildcard and still gets out of the cluster', async () => {
  // Nobody answers there; what counts is that the kernel accepts the attempt, or has the same objection.
  const script = `
import socket
sock = socket.socket()
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.setblocking(False)
sock.bind(("", 0))
port = sock.getsockname()[1]
print(sock.connect_ex(("198.51.100.1", 9)), sock.getsockname()[1] == port, sock.getsockname()[0],
      sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))`;
  const native = await start([PYTHON, '-c', script], process.env).ended;
  expect(await peer.run('web', [PYTHON, '-c', script])).toEqual(native);
});

describe('io_uring is declined', () => {
  test('node falls back to what it does without', async () => {
    // Queues are seen in the list of descriptors.
    const script = `
      const { readdirSync, readFile, readlinkSync } = require('node:fs');
      const target = (fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } };
      readFile('/proc/self/cmdline', (error, data) =>
        console.log(data.length > 0, readdirSync('/proc/self/fd').some((fd) => /io_uring/.test(target(fd)))));`;
    const command = ['/usr/bin/env', 'UV_USE_IO_URING=1', process.execPath, '-e', script];
    expect((await peer.native(command).ended).stdout).toMatch(/^true/);
    expect(await peer.run('web', command)).toMatchObject({ stdout: 'true false\n', stderr: '', code: 0 });
  });

  const liburing = has('gcc') && existsSync('/usr/include/liburing.h') ? test : test.skip;
  liburing('and liburing says that there is none, unless it is part of the program', async () => {
    const source = join(peer.folder, 'ring.c');
    writeFileSync(
      source,
      `#include <liburing.h>
       #include <stdio.h>
       int main(void) {
         struct io_uring ring;
         printf("%d\\n", io_uring_queue_init(8, &ring, 0));
       }`,
    );
    const build = async (name: string, ...library: string[]) => {
      const program = join(peer.folder, name);
      expect(await peer.native(['gcc', '-o', program, source, ...library]).ended).toMatchObject({
        stderr: '',
        code: 0,
      });
      const [native, guest] = [await peer.native([program]).ended, await peer.run('web', [program])];
      return { native: native.stdout, guest: guest.stdout };
    };
    expect((await build('shared', '-luring')).guest).toBe(`${-constants.errno.ENOSYS}\n`);
    // Its system calls are the program's own instructions then.
    const inside = await build('inside', '-Wl,-Bstatic', '-luring', '-Wl,-Bdynamic');
    expect(inside.guest).toBe(inside.native);
  });
});
