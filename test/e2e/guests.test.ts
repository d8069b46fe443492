import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');
const python = '/usr/bin/python3';
const httpServer = (port: string, ...more: string[]) => [python, '-m', 'http.server', port, ...more];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      { name: 'web', command: ['/usr/sbin/nginx', '-e', 'stderr', '-p', '/tmp', '-c', '/var/task/nginx.conf'] },
      { name: 'api', command: ['node', 'api.js'] },
      {
        name: 'redis',
        aliases: ['cache'],
        command: [
          '/usr/bin/redis-server',
          '--bind',
          '0.0.0.0',
          '-::1',
          '--dir',
          '/tmp',
          '--save',
          '',
          '--protected-mode',
          'no',
        ],
      },
      { name: 'files', command: httpServer('8000') },
      { name: 'inner-a', command: [python, 'inner.py', 'a'] },
      { name: 'inner-b', command: [python, 'inner.py', 'b'] },
      { name: 'echo', command: [python, 'echo.py', '7000'] },
      { name: 'untouched', command: httpServer('8000') },
    ],
    {
      files: {
        'nginx.conf': guest('nginx.conf'),
        'api.js': guest('api.js'),
        'echo.py': guest('echo.py'),
        'inner.py': guest('inner.py'),
        'clients.js': guest('clients.js'),
      },
    },
  );
});
afterAll(() => cluster?.dispose());

const addressOf = async (name: string) => (await cluster.host(name)).address;

test('names resolve while nothing runs, and resolving allocates nothing', async () => {
  const names = ['web', 'redis', 'cache', 'redis.test', 'REDIS'];
  const run = await cluster.exec([
    python,
    '-c',
    'import socket, sys, json; print(json.dumps([socket.gethostbyname(n) for n in sys.argv[1:]]))',
    ...names,
  ]);
  const redis = await addressOf('redis');
  expect(JSON.parse(run.stdout)).toEqual([await addressOf('web'), redis, redis, redis, redis]);
  expect((await cluster.ps()).every((host) => host.state === 'imagined' && host.allocations === 0)).toBe(true);
  const unknown = await cluster.exec([python, '-c', "import socket; socket.gethostbyname('nowhere.invalid')"]);
  expect(unknown.stderr).toContain('socket.gaierror');
});

test('one curl allocates nginx, the Node.js API and Redis', async () => {
  const first = await cluster.exec(['curl', '-sS', 'http://web/hello']);
  expect(first.stderr).toBe('');
  expect(JSON.parse(first.stdout)).toMatchObject({ visits: 1, path: '/hello', localPort: 3000 });
  const second = await cluster.exec(['curl', '-sS', 'http://web/again']);
  const seen = JSON.parse(second.stdout);
  expect(seen.visits).toBe(2);
  // The API listens on `::`, so it sees virtual addresses in their IPv6 form.
  expect(seen.remoteAddress).toBe(`::ffff:${await addressOf('web')}`);
  expect(seen.localAddress).toBe(`::ffff:${await addressOf('api')}`);
  for (const host of ['web', 'api', 'redis']) {
    expect(await cluster.host(host)).toMatchObject({ state: 'running', allocations: 1 });
  }
  expect(await cluster.host('untouched')).toMatchObject({ state: 'imagined', allocations: 0 });
});

test('redis-cli, by alias', async () => {
  expect((await cluster.exec(['redis-cli', '-h', 'cache', 'PING'])).stdout).toBe('PONG\n');
});

test('node: net, http and fetch at the same time to an imagined http.server', async () => {
  const run = await cluster.exec(['node', join(cluster.folder, 'clients.js'), 'http://files:8000/api.js']);
  expect(run.stderr).toBe('');
  const got = JSON.parse(run.stdout);
  expect(got.net.peer).toBe(await addressOf('files'));
  expect(got.net.body).toContain(guest('api.js'));
  expect(got.http).toEqual({ status: 200, body: guest('api.js') });
  expect(got.fetch).toEqual({ status: 200, body: guest('api.js') });
});

test('curl with parallel transfers', async () => {
  const urls = Array.from({ length: 20 }, (_, i) => `http://web/static?${i}`);
  const run = await cluster.exec(['curl', '-sS', '--parallel', ...urls]);
  expect(run.stdout).toBe('static\n'.repeat(20));
});

test('wrk through nginx', async () => {
  const run = await cluster.exec(['wrk', '-t2', '-c20', '-d2s', 'http://web/static']);
  expect(run.stdout).toMatch(/[1-9]\d* requests in/);
  expect(run.stdout).not.toMatch(/Socket errors|Non-2xx/);
});

test("a guest's own 127.0.0.1 stays its own, on the same port of two hosts", async () => {
  const ask = (host: string) => cluster.exec(['curl', '-sS', `http://${host}:7001/`]);
  expect((await ask('inner-a')).stdout).toBe('inner a\n');
  expect((await ask('inner-b')).stdout).toBe('inner b\n');
  const outside = await cluster.exec(['curl', '-sS', 'http://inner-a:7000/']);
  expect(outside.code).toBe(7);
});

test('getpeername, getsockname and accept show virtual addresses', async () => {
  const script = [
    'import socket, json',
    "s = socket.create_connection(('echo', 7000))",
    "s.sendall(b'who\\n')",
    'seen = json.loads(s.makefile().readline())',
    'print(json.dumps({"peer": s.getpeername(), "local": s.getsockname(), "seen": seen}))',
  ].join('\n');
  const run = await cluster.exec([python, '-c', script]);
  expect(run.stderr).toBe('');
  const { peer, local, seen } = JSON.parse(run.stdout);
  expect(peer).toEqual([await addressOf('echo'), 7000]);
  expect(seen.local).toEqual(peer);
  expect(seen.peer).toEqual(local);
  expect(local[0]).toMatch(/^100\.64\.255\./);
});

test('exec --as: seen with the address of that host', async () => {
  const script = "import socket; s = socket.create_connection(('echo', 7000)); print(s.getsockname()[0])";
  const run = await cluster.exec([python, '-c', script], { as: 'untouched' });
  expect(run.stdout.trim()).toBe(await addressOf('untouched'));
  expect(await cluster.host('untouched')).toMatchObject({ state: 'imagined', allocations: 0 });
});

test('output of the guests is in the log', async () => {
  expect(await cluster.logs('redis')).toContain('Ready to accept connections');
});
