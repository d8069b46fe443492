/** Temporary folders and state directories with long paths: that of a Unix socket has 107 bytes at most. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootCluster, prepareCluster, type TestCluster } from '../support/cluster';

const ECHO = `import socket
s = socket.create_server(('', 7000))
while True:
    c, _ = s.accept(); c.sendall(b'here'); c.close()`;
const HOST = { name: 'echo', command: ['/usr/bin/python3', '-c', ECHO], idleTimeout: 60_000 };
const ASK = [
  '/usr/bin/python3',
  '-c',
  "import socket; print(socket.create_connection(('echo', 7000)).recv(9).decode())",
];

let base: string;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'im-'));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A folder whose path has so many bytes. */
function folderOf(length: number): string {
  let path = base;
  while (path.length < length) path += `/${'x'.repeat(Math.min(60, Math.max(1, length - path.length - 1)))}`;
  mkdirSync(path, { recursive: true });
  return path;
}

describe('exec', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster([HOST], { upArguments: ['--network', 'flat'] });
  });
  afterAll(() => cluster?.dispose());

  // Around the lengths at which a folder for sockets is chosen, a shim takes another way, and a path is too long by
  // itself.
  test.each([57, 58, 79, 91, 98, 107, 108, 300])('TMPDIR of %d bytes', async (length) => {
    const run = await cluster.exec(ASK, { env: { ...process.env, TMPDIR: folderOf(length) }, timeout: 20_000 });
    expect(run).toEqual({ code: 0, stdout: 'here\n', stderr: '' });
  });
});

describe.each([
  ['flat', 'auto'],
  ['flat', 'none'],
  ['auto', 'auto'],
] as const)('up: network %s, sandbox %s', (network, sandbox) => {
  test.each([58, 250])(
    'TMPDIR and state directory of %d bytes: a cluster that works, and that down knows',
    async (length) => {
      const env = { ...process.env, TMPDIR: folderOf(length) };
      const cluster = prepareCluster([HOST], { env });
      const state = ['--state', join(folderOf(length), 's')];
      const imaginary = (command: string, ...args: string[]) =>
        cluster.imaginary([command, ...state, ...args], { env, timeout: 60_000 });
      try {
        const up = await imaginary(
          'up',
          '--network',
          network,
          '--sandbox',
          sandbox,
          join(cluster.folder, 'manifest.json'),
        );
        expect(up).toMatchObject({ code: 0, stderr: '' });
        expect(await imaginary('exec', '--', ...ASK)).toEqual({ code: 0, stdout: 'here\n', stderr: '' });
      } finally {
        expect((await imaginary('down')).stdout).toBe('test is down\n');
        await cluster.dispose();
      }
    },
  );
});
