/** The whole way on a machine that allows nothing: no namespaces, no cgroups, every process sees every other one. */
import { existsSync } from 'node:fs';
import { bootCluster, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      {
        name: 'files',
        command: [python, '-u', '-m', 'http.server', '8000'],
        idleTimeout: 300,
        releaseTimeout: 500,
        settleTime: 200,
      },
      // Its own loopback, a port below 1024, and a file of /var/task by its whole path.
      { name: 'front', command: [python, '-u', '/var/task/front.py'], environment: { PAGE: '/var/task/page.txt' } },
    ],
    {
      upArguments: ['--sandbox', 'none'],
      files: {
        'page.txt': 'hello\n',
        'front.py': [
          'import os, socketserver, urllib.request',
          'class Handler(socketserver.StreamRequestHandler):',
          '    def handle(self):',
          '        there = urllib.request.urlopen("http://files:8000/page.txt").read()',
          '        self.wfile.write(there + open(os.environ["PAGE"], "rb").read())',
          'socketserver.TCPServer(("", 80), Handler).serve_forever()',
        ].join('\n'),
      },
    },
  );
});
afterAll(() => cluster?.dispose());

const ask = [python, '-c', 'import socket; s = socket.create_connection(("front", 80)); print(s.makefile().read())'];

test('up says what is missing', async () => {
  const { stdout } = await cluster.imaginary(['ps', '--json']);
  expect(JSON.parse(stdout).hosts).toHaveLength(2);
  const platform = JSON.parse((await cluster.exec(['cat', `${cluster.state}/platform.json`])).stdout);
  expect(platform.isolation).toMatchObject({ filesystem: false, pids: false, freeze: 'sigstop' });
});

test('a connection allocates a chain of hosts', async () => {
  expect(await cluster.exec(ask)).toEqual({ code: 0, stdout: 'hello\nhello\n\n', stderr: '' });
  expect(await cluster.host('front')).toMatchObject({ state: 'running', ports: [80] });
});

test('an idle host is suspended, released, and comes again', async () => {
  await cluster.waitFor((e) => e.host === 'files' && e.event === 'released');
  expect(await cluster.exec(ask)).toMatchObject({ code: 0, stdout: 'hello\nhello\n\n' });
  expect((await cluster.host('files')).allocations).toBe(2);
});

test('down leaves nothing', async () => {
  const { logDir } = JSON.parse((await cluster.exec(['cat', `${cluster.state}/platform.json`])).stdout);
  expect(existsSync(logDir)).toBe(true);
  expect(await cluster.down()).toMatchObject({ code: 0 });
  expect(existsSync(`${cluster.state}/platform.json`)).toBe(false);
});
