/** The supervisor's socket is found however long the path of its folder is: a socket address holds 107 bytes. */
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Peer, passed, start, startEcho, startPeer } from './harness';

jest.setTimeout(60_000);

let peer: Peer;
beforeAll(async () => {
  peer = await startPeer(30, ['plain']);
});
afterAll(() => peer?.close());

test.each([60, 89, 90, 91, 94, 97, 98, 99, 107, 108, 250])('a folder of %d bytes', async (length) => {
  const server = await startEcho(peer);
  const folder = join(peer.folder, 'long');
  let path = folder;
  while (path.length < length) path += `/${'x'.repeat(Math.min(100, Math.max(1, length - path.length - 1)))}`;
  if (path !== folder) mkdirSync(join(path, '..'), { recursive: true });
  try {
    const env = peer.env('web', 'plain');
    symlinkSync(env.IMAGINARY_DIR!, path);
    // The port is told by the supervisor only.
    await peer.tell('ask api');
    const ask = `import socket; s = socket.create_connection(('api', ${server.port}), 8); s.sendall(b'x'); s.recv(1)`;
    passed(await start(['/usr/bin/python3', '-c', ask], { ...env, IMAGINARY_DIR: path }).ended);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await server.guest.stop();
  }
});
