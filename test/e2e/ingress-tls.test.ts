/** Exposed ports at which the seed ends TLS: nginx and others behind it, certificates that fail, clients that do. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { promisify } from 'node:util';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { readPlatform } from '../../src/local';
import { type CertificateFiles, makeCertificate } from '../support/certificates';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { python } from '../support/guests';
import { beginning, mentioning } from '../support/processes';
import { talk, WHO } from '../support/talk';
import { TLS_SERVER } from '../support/tls-server';

const NGINX = `
daemon off; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 8000; location / { return 200 "$remote_addr $remote_port\\n"; } }
  server { listen 8001 proxy_protocol; location / { return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; } }
}
`;

/** Sends until nothing goes on, or resets at the first byte, or says how the client has ended. */
const GUEST = `
import os, socket, struct, sys, threading
def say(text):
    os.write(1, f"{text}\\n".encode()) # whole lines: print writes the end of one by itself
def flood(c):
    c.settimeout(1)
    try:
        while True: c.sendall(b"x" * 65536)
    except socket.timeout: say("stalled")
    except OSError as e: say(f"not stalled {e}")
    held.append(c)
held = []
def resets(c):
    c.recv(1)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
def tells(c):
    c.sendall(b"ready")
    try: print("ended with", len(c.recv(1)), flush=True)
    except OSError as e: print("ended with", e.errno, flush=True)
def listen(port, serve):
    s = socket.create_server(("", port), backlog=512)
    while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
for port, serve in (8000, flood), (8001, resets), (8002, tells):
    threading.Thread(target=listen, args=(port, serve)).start()
`;

let folder: string;
let cluster: TestCluster;
let certificates: Record<'web' | 'red' | 'blue' | 'expired' | 'passed', CertificateFiles>;
let ports: number[];
let silent: Promise<{ readonly error: string | undefined; readonly after: number }>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-tls-'));
  certificates = {
    web: makeCertificate(folder, ['web.test']),
    red: makeCertificate(folder, ['red.test', '*.red.test']),
    blue: makeCertificate(folder, ['blue.test']),
    expired: makeCertificate(folder, ['old.test'], { expired: true }),
    passed: makeCertificate(folder, ['passed.test']),
  };
  const { web, red, blue, expired, passed } = certificates;
  cluster = await bootCluster(
    [
      { name: 'web', command: ['/usr/sbin/nginx', '-c', '/var/task/nginx.conf'] },
      { name: 'who', command: [python, '-u', 'who.py', '8000'] },
      { name: 'guest', command: [python, '-u', 'guest.py'] },
      { name: 'passed', command: [python, '-u', 'tls.py', 'passed', 'asked'] },
      { name: 'never', command: ['/bin/false'] },
    ],
    {
      name: 'tls',
      files: {
        ...{ 'nginx.conf': NGINX, 'who.py': WHO, 'guest.py': GUEST, 'tls.py': TLS_SERVER },
        'server.pem': readFileSync(passed.certificateFile, 'utf8'),
        'server.key': readFileSync(passed.keyFile, 'utf8'),
      },
      exposes: [
        { host: 'web', port: 18_200, hostPort: 8_000, tls: web },
        { host: 'web', port: 18_210, hostPort: 8_001, tls: web, proxyProtocol: true },
        { host: 'who', port: 18_220, hostPort: 8_000, tls: red, serverNames: ['red.test', '*.red.test'] },
        { host: 'web', port: 18_220, hostPort: 8_000, tls: blue, serverNames: ['blue.test'] },
        { host: 'passed', port: 18_220, hostPort: 8_443, serverNames: ['passed.test'] },
        { host: 'never', port: 18_220, hostPort: 8_000, tls: expired, serverNames: ['old.test'] },
        { host: 'who', port: 18_230, hostPort: 8_000, tls: web },
        { host: 'guest', port: 18_240, hostPort: 8_000, tls: web },
        { host: 'guest', port: 18_250, hostPort: 8_001, tls: web },
        { host: 'guest', port: 18_260, hostPort: 8_002, tls: web },
        { host: 'never', port: 18_270, hostPort: 8_000, tls: expired },
        { host: 'never', port: 18_280, hostPort: 8_000, tls: { ...web, keyFile: join(folder, 'absent') } },
        { host: 'never', port: 18_290, hostPort: 8_000, tls: { ...web, keyFile: red.keyFile } },
        { host: 'never', port: 18_300, hostPort: 8_000, tls: web, serverNames: ['other.test'] },
        { host: 'never', port: 18_310, hostPort: 8_000, tls: { ...web, certificateFile: web.keyFile } },
        { host: 'never', port: 18_320, hostPort: 8_000, tls: web, allowFrom: ['127.0.0.9/32'] },
      ],
      upArguments: ['--network', 'nat'],
    },
  );
  ports = readPlatform(cluster.state)!.exposed!.map(({ port }) => port);
  silent = talkSilently(ports[6]);
});
afterAll(async () => {
  await cluster?.dispose();
  if (folder) rmSync(folder, { recursive: true });
});

async function talkSilently(port: number) {
  const since = performance.now();
  const { error } = await talk(port, { ends: false, from: '127.0.0.7' });
  return { error, after: performance.now() - since };
}

/** Everything that a server says, and how that ended. */
function tls(port: number, servername: string, input: string, more: ConnectionOptions = {}) {
  return new Promise<{ text: string; error?: string; local: string; fingerprint: string }>((resolve) => {
    let [text, local, fingerprint] = ['', '', ''];
    let error: string | undefined;
    const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false, allowHalfOpen: true };
    const socket: TLSSocket = tlsConnect({ ...options, ...more } as ConnectionOptions, () => {
      local = `${socket.localAddress} ${socket.localPort}`;
      fingerprint = socket.getPeerCertificate().fingerprint256;
      socket.end(input);
    });
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', (e: NodeJS.ErrnoException) => {
      error = e.code;
    });
    socket.on('close', () => resolve({ text, error, local, fingerprint }));
  });
}

const run = promisify(execFile);
const GET = 'GET / HTTP/1.0\r\n\r\n';

test.each([0, 1])('curl at nginx: trusted, and nginx sees the client (with a PROXY header: %d)', async (i) => {
  const { certificateFile } = certificates.web;
  const write = '%{http_version} %{local_ip} %{local_port}\n';
  const at = ['--cacert', certificateFile, '--resolve', `web.test:${ports[i]}:127.0.0.1`];
  const { stdout } = await run('curl', [
    '-sS',
    '--max-time',
    '30',
    ...at,
    '-w',
    write,
    `https://web.test:${ports[i]}/`,
  ]);
  const [shown, sent] = stdout.trim().split('\n');
  expect(`1.1 ${shown}`).toBe(sent);
});

test.each([
  [['-tls1_3', '-alpn', 'http/1.1'], /ALPN protocol: http\/1.1.*Verify return code: 0/s],
  [['-tls1_2'], /Protocol {2}: TLSv1.2.*Verify return code: 0/s],
  [['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], /alert protocol version|no protocols available/],
  [['-alpn', 'h2'], /no application protocol/],
])('openssl s_client %j', async (args, says) => {
  const trust = ['-CAfile', certificates.web.certificateFile, '-servername', 'web.test'];
  const client = run('openssl', ['s_client', '-connect', `127.0.0.1:${ports[0]}`, ...trust, ...args], {
    timeout: 20_000,
  });
  client.child.stdin!.end();
  const { stdout, stderr } = await client.catch((error: { stdout: string; stderr: string }) => error);
  expect(stdout + stderr).toMatch(says);
});

test('one port: two certificates, a host that ends TLS itself, and one whose certificate has expired', async () => {
  const at = async (name: string) => (await tls(ports[2], name, GET)).text || 'nothing';
  const said = await Promise.all(['red.test', 'a.red.test', 'blue.test', 'passed.test', 'old.test', ''].map(at));
  const ended = expect.stringMatching(/^127\.0\.0\.1 \d+\n127\.0\.0\.1 \d+\nGET/);
  expect(said).toEqual([ended, ended, expect.stringContaining('200 OK'), 'passed', 'nothing', 'nothing']);
  const [red, blue] = await Promise.all(['red.test', 'blue.test'].map((name) => tls(ports[2], name, GET)));
  expect(red.fingerprint).not.toBe(blue.fingerprint);
});

test('megabytes both ways; the client ends its direction first, and the guest sees where it is', async () => {
  const input = 'x'.repeat(8_000_000);
  const { text, local, error } = await tls(ports[6], 'web.test', input);
  expect(error).toBeUndefined();
  expect(text.startsWith(`${local}\n${local}\nx`)).toBe(true);
  expect(text.length - text.indexOf('x')).toBe(input.length);
});

test.each([
  [10, /expired at/],
  [11, /absent/],
  [12, /the private key is not the certificate's/],
  [13, /is not for server name 'other.test', but for DNS:web.test/],
  [14, /there is no PEM block CERTIFICATE/],
])('a certificate that cannot be used (expose %d): an event says why, and clients are reset', async (i, reason) => {
  const port = 18_170 + 10 * i;
  const failed = (e: ClusterEvent) => e.event === 'certificate-failed' && e.detail.port === port;
  expect((await cluster.waitFor(failed)).detail.reason).toMatch(reason);
  expect(await tls(ports[i], 'other.test', GET)).toMatchObject({ text: '', error: 'ECONNRESET' });
  await cluster.waitFor((e) => e.event === 'ingress-refused' && e.detail.port === port);
});

test('a client that is not on the allow-list is reset before a handshake', async () => {
  expect(await tls(ports[15], 'web.test', GET)).toMatchObject({ text: '', fingerprint: '', error: 'ECONNRESET' });
  const refused = (e: ClusterEvent) => e.event === 'ingress-refused' && e.detail.port === 18_320;
  expect((await cluster.waitFor(refused)).detail.reason).toBe('allowFrom');
  expect((await cluster.host('never')).allocations).toBe(0);
});

test.each([
  ['text', GET],
  ['a record that is too long', Buffer.from([22, 3, 1, 255, 255, 1, 2, 3])],
  ['a hello of nothing', Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0])],
  ['an alert', Buffer.from([21, 3, 3, 0, 2, 2, 40])],
])('garbage instead of a hello: %s', async (_, input) => {
  // Its connection ends: with an alert at most, of 7 bytes.
  expect((await talk(ports[0], { input, ends: false })).text.length).toBeLessThanOrEqual(7);
  expect((await tls(ports[0], 'web.test', GET)).text).toContain('200 OK');
});

test('handshakes of one client at one time are bounded, and end in time; another client is served', async () => {
  const sockets: Socket[] = [];
  const ends = Array.from({ length: 40 }, () => {
    const socket = connect({ port: ports[6], host: '127.0.0.1', localAddress: '127.0.0.5' }).on(
      'error',
      () => undefined,
    );
    sockets.push(socket);
    return new Promise((resolve) => socket.once('close', resolve));
  });
  const refused = (e: ClusterEvent) => e.detail.reason === 'too many TLS handshakes of this client';
  await cluster.waitFor(refused);
  expect((await tls(ports[6], 'web.test', 'y')).text).toMatch(/\ny$/);
  await eventually(() => sockets.filter(({ destroyed }) => destroyed).length >= 8);
  expect(sockets.filter(({ destroyed }) => destroyed)).toHaveLength(8);
  await Promise.all(ends);
  expect(await silent).toMatchObject({ error: 'ECONNRESET' });
  expect((await silent).after).toBeGreaterThan(4_000);
});

test('a reset passes, either way', async () => {
  expect((await tls(ports[8], 'web.test', 'x')).error).toBe('ECONNRESET');
  const raw = connect(ports[9], '127.0.0.1').on('error', () => undefined);
  const socket = tlsConnect({ socket: raw, servername: 'web.test', rejectUnauthorized: false }).on(
    'error',
    () => undefined,
  );
  await new Promise((resolve) => socket.once('data', resolve));
  raw.resetAndDestroy();
  await eventually(async () => (await cluster.logs('guest')).includes('ended with 104'));
});

function seedProcess(): number {
  const launched = mentioning(join(cluster.state, 'manifest.json'));
  const seeds = beginning(process.execPath).filter((pid) => launched.includes(pid));
  expect(seeds).toHaveLength(1);
  return seeds[0];
}

const residentMegabytes = (pid: number) =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024;

test('clients that do not read: the guest waits, and the seed keeps little of it', async () => {
  const pid = seedProcess();
  const before = residentMegabytes(pid);
  const clients = Array.from({ length: 32 }, () => {
    const socket = tlsConnect({ port: ports[7], host: '127.0.0.1', servername: 'web.test', rejectUnauthorized: false });
    return socket.on('error', () => undefined).pause();
  });
  await Promise.all(clients.map((socket) => new Promise((resolve) => socket.once('secureConnect', resolve))));
  // The kernel has taken what it takes for both connections of each.
  await eventually(
    async () => (await cluster.logs('guest')).match(/^.*\bstalled$/gm)?.length === clients.length,
    60_000,
  );
  const after = residentMegabytes(pid);
  for (const socket of clients) socket.destroy();
  // A megabyte for each: buffers of OpenSSL and of streams, and what the collector has not taken yet.
  expect(after - before).toBeLessThan(32);
});

test('a certificate that is renewed is served after SIGHUP; one that is broken is not, and connections stay', async () => {
  const { web, blue } = certificates;
  const open = tlsConnect({ port: ports[6], host: '127.0.0.1', servername: 'web.test', rejectUnauthorized: false });
  open.setEncoding('utf8');
  let echoed = '';
  open.on('data', (chunk: string) => {
    echoed += chunk;
  });
  await eventually(() => echoed.length > 0);
  const before = (await tls(ports[6], 'web.test', '')).fingerprint;
  const renewed = makeCertificate(folder, ['web.test'], { as: 'renewed' });
  copyFileSync(renewed.certificateFile, web.certificateFile);
  copyFileSync(renewed.keyFile, web.keyFile);
  process.kill(seedProcess(), 'SIGHUP');
  const loaded = (e: ClusterEvent) => e.event === 'certificate-loaded' && e.detail.port === 18_230;
  await cluster.waitFor((e) => loaded(e) && e.detail.fingerprint !== before);
  const now = (await tls(ports[6], 'web.test', '')).fingerprint;
  expect(now).not.toBe(before);
  copyFileSync(blue.keyFile, web.keyFile);
  process.kill(seedProcess(), 'SIGHUP');
  await cluster.waitFor((e) => e.event === 'certificate-failed' && e.detail.port === 18_230);
  expect((await tls(ports[6], 'web.test', '')).fingerprint).toBe(now);
  open.write('still');
  await eventually(() => echoed.endsWith('still'));
  open.destroy();
});
