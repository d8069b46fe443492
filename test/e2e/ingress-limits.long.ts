/** Exposed ports: which clients are refused, before anything is allocated, and several hosts on one port. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { readPlatform } from '../../src/local';
import { makeCertificate } from '../support/certificates';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { python } from '../support/guests';
import { talk, WHO } from '../support/talk';
import { TLS_SERVER } from '../support/tls-server';

/** Accepts nothing. */
const DEAF = 'import socket, time; s = socket.create_server(("", 8000)); time.sleep(3600)';

const NGINX = `
daemon off; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server {
    listen 8000 proxy_protocol;
    location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $remote_addr\\n"; }
  }
}
`;

/** Named so that each one's port is found by it. */
const EXPOSES = [
  { host: 'closed', port: 18_100, hostPort: 8_000, allowFrom: ['203.0.113.0/24', '127.0.0.9/32'] },
  { host: 'few', port: 18_110, hostPort: 8_000, maxConnectionsPerClient: 3, maxNewConnectionsPerMinutePerClient: 8 },
  { host: 'ends', port: 18_120, hostPort: 8_000, maxAllocationsPerMinutePerClient: 1 },
  { host: 'slow', port: 18_130, hostPort: 8_000 },
  { host: 'never', port: 18_140, hostPort: 8_001, allocationTimeout: 300 },
  { host: 'proxied', port: 18_150, hostPort: 8_000, proxyProtocol: true },
  { host: 'red', port: 18_160, hostPort: 8_443, serverNames: ['red.test'] },
  { host: 'blue', port: 18_160, hostPort: 8_443, serverNames: ['blue.test', '*.blue.test'] },
  { host: 'many', port: 18_170, hostPort: 8_000 },
  { host: 'deaf', port: 18_180, hostPort: 8_000, maxConnectionsPerClient: 1_000 },
];

let keys: string;
let cluster: TestCluster;
let ports: Record<string, number>;
/** Says nothing to the port of several hosts, from the start on. */
let silent: Promise<{ readonly ended: number }>;

beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), 'imaginary-keys-'));
  const { certificateFile, keyFile } = makeCertificate(keys, ['test']);
  const who = (name: string, ...more: string[]) => ({ name, command: [python, '-u', 'who.py', '8000', ...more] });
  cluster = await bootCluster(
    [
      ...[who('closed'), who('few'), who('many'), who('slow', '1.5'), who('never')],
      { name: 'ends', command: ['/bin/false'] },
      { name: 'deaf', command: [python, '-c', DEAF] },
      { name: 'proxied', command: ['/usr/sbin/nginx', '-c', '/var/task/nginx.conf'] },
      ...['red', 'blue'].map((name) => ({ name, command: [python, '-u', 'tls.py', name] })),
    ],
    {
      name: 'limits',
      files: {
        ...{ 'who.py': WHO, 'tls.py': TLS_SERVER, 'nginx.conf': NGINX },
        ...{ 'server.pem': readFileSync(certificateFile, 'utf8'), 'server.key': readFileSync(keyFile, 'utf8') },
      },
      exposes: EXPOSES,
      upArguments: ['--network', 'nat'],
    },
  );
  ports = Object.fromEntries(readPlatform(cluster.state)!.exposed!.map(({ host, port }) => [host, port]));
  const since = performance.now();
  silent = new Promise((resolve) => {
    const socket = connect(ports.red, '127.0.0.1').on('error', () => undefined);
    socket.once('close', () => resolve({ ended: performance.now() - since }));
  });
});
afterAll(async () => {
  await cluster?.dispose();
  if (keys) rmSync(keys, { recursive: true });
});

const refused = (host: string, reason: string) => (e: ClusterEvent) =>
  e.host === host && e.event === 'ingress-refused' && e.detail.reason === reason;

/** Connections that stay, each after its first two lines. */
async function stay(port: number, count: number, from = '127.0.0.1') {
  const sockets: Socket[] = [];
  const results = Array.from({ length: count }, () => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from });
    sockets.push(socket);
    return new Promise<boolean>((resolve) => {
      socket.on('error', () => undefined);
      socket.once('data', () => resolve(true));
      socket.once('close', () => resolve(false));
    });
  });
  const served = (await Promise.all(results)).filter(Boolean).length;
  return { served, end: () => sockets.forEach((socket) => void socket.destroy()) };
}

test('a client that is not on the allow-list is reset, and nothing is allocated; one that is on it is served', async () => {
  expect(await talk(ports.closed, { input: 'x', ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
  await cluster.waitFor(refused('closed', 'allowFrom'));
  expect(await cluster.host('closed')).toMatchObject({ state: 'imagined', allocations: 0 });
  const { text, local } = await talk(ports.closed, { input: 'x', from: '127.0.0.9' });
  expect(text).toBe(`${local}\n${local}\nx`);
});

test('connections and new connections of one client are bounded; another client does not notice', async () => {
  const three = await stay(ports.few, 3);
  expect(three.served).toBe(3);
  expect(await talk(ports.few, { ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
  await cluster.waitFor(refused('few', 'maxConnectionsPerClient'));
  expect((await talk(ports.few, { input: 'x', from: '127.0.0.2' })).error).toBeUndefined();
  three.end();
  // The seed hears of the ends by and by; refused ones count for nothing.
  await eventually(async () => (await talk(ports.few, { input: 'x' })).error === undefined);
  let served = 0;
  for (let i = 0; i < 12; i++) if ((await talk(ports.few, { input: 'x' })).error === undefined) served += 1;
  expect(served).toBeLessThanOrEqual(5);
  await cluster.waitFor(refused('few', 'maxNewConnectionsPerMinutePerClient'));
  expect((await talk(ports.few, { input: 'x', from: '127.0.0.2' })).error).toBeUndefined();
});

test('allocations that one client causes are bounded', async () => {
  for (let i = 0; i < 3; i++) expect((await talk(ports.ends, { input: 'x', ends: false })).error).toBe('ECONNRESET');
  await cluster.waitFor(refused('ends', 'maxAllocationsPerMinutePerClient'));
  expect((await cluster.host('ends')).allocations).toBeLessThanOrEqual(1);
});

test('a client that leaves before the host is up waits no longer; one that waits for an answer does', async () => {
  const asks = talk(ports.slow, { input: 'asks' });
  const leaves = talk(ports.slow, { input: '' });
  expect(await leaves).toMatchObject({ text: '' });
  await eventually(async () => (await cluster.host('slow')).waiting === 1);
  const { text, local } = await asks;
  expect(text).toBe(`${local}\n${local}\nasks`);
});

test('a host that does not listen in time: reset after allocationTimeout', async () => {
  expect(await talk(ports.never, { input: 'x', ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
  await cluster.waitFor(refused('never', 'allocationTimeout'));
});

test('the PROXY protocol: nginx reads the client out of the header', () => {
  const write = '%{local_ip} %{local_port} %{local_ip}\n';
  const curl = execFileSync('curl', ['-s', '--max-time', '30', '-w', write, `http://127.0.0.1:${ports.proxied}/`]);
  const [shown, sent] = curl.toString().trim().split('\n');
  expect(shown).toBe(sent);
});

const nameOfServer = (servername: string) =>
  new Promise<string>((resolve) => {
    const socket = connectTls({ port: ports.red, host: '127.0.0.1', servername, rejectUnauthorized: false });
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.on('close', () => resolve(text));
  });

test('several hosts on one port, by the server name of TLS, which ends at the host', async () => {
  expect(ports.red).toBe(ports.blue);
  const names = ['red.test', 'blue.test', 'a.blue.test', 'other.test', ''];
  expect(await Promise.all(names.map(nameOfServer))).toEqual(['red', 'blue', 'blue', 'ECONNRESET', 'ECONNRESET']);
  const client = ['s_client', '-connect', `127.0.0.1:${ports.blue}`, '-servername', 'blue.test', '-quiet'];
  expect(execFileSync('openssl', client, { stdio: ['ignore', 'pipe', 'ignore'] }).toString()).toBe('blue');
});

test.each([
  ['text', 'GET / HTTP/1.1\r\n\r\n'],
  ['a record that is too long', Buffer.from([22, 3, 1, 255, 255, 1])],
  ['a hello of nothing', Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0])],
])('garbage as a TLS hello: %s', async (_, input) => {
  expect(await talk(ports.red, { input, ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
});

test('a thousand idle clients at one address: those beyond the bound are reset, and another client is served', async () => {
  const idle = await stay(ports.many, 1_000);
  expect(idle.served).toBe(256);
  expect((await talk(ports.many, { input: 'x', from: '127.0.0.3' })).text).toMatch(/^127\.0\.0\.3 .*\nx$/s);
  idle.end();
});

test('a guest that accepts nothing: its supervisor refuses more than one client may have there, at once', async () => {
  const sockets: Socket[] = [];
  const refusedAfter = await new Promise<number>((resolve) => {
    for (let i = 0; i < 600; i++) {
      const begin = performance.now();
      const socket = connect(ports.deaf, '127.0.0.1').on('error', () => undefined);
      socket.once('close', () => resolve(performance.now() - begin));
      sockets.push(socket);
    }
  });
  for (const socket of sockets) socket.destroy();
  // Who is not refused is waited for: 10 s.
  expect(refusedAfter).toBeLessThan(9_000);
  const refusal = ({ host, event }: ClusterEvent) => host === 'deaf' && event === 'ingress-refused';
  expect((await cluster.waitFor(refusal)).detail.reason).toMatch(/^'deaf' refuses: /);
});

test('a client that does not say for which host it comes is reset in time', async () => {
  expect((await silent).ended).toBeGreaterThan(4_000);
});
