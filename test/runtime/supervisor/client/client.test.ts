/** Commands in a running cluster: real programs under the shim, connected to hosts that a real seed allocates. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchStatus } from '../../../../src/runtime/control/index';
import {
  type Client,
  ClientEndedError,
  type ClientOptions,
  ProgramError,
  startClient,
} from '../../../../src/runtime/supervisor/client/client';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster } from '../../seed/cluster';
import { layersFolder, openSandbox, type Sandbox } from '../sandbox';

jest.setTimeout(60_000);

const FLAT = 80;
const python = '/usr/bin/python3';
const http = (port: number) => [python, '-m', 'http.server', String(port), '--directory', '/usr/share/doc'];

let layers: ReturnType<typeof layersFolder>;
let cluster: Cluster;
let folder: string;
let sandboxes: Sandbox[];
let clients: Client[];
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-client-'));
  sandboxes = [];
  clients = [];
});
afterEach(async () => {
  for (const client of clients) await client.close();
  for (const sandbox of sandboxes) sandbox.close();
  await cluster.close();
  rmSync(folder, { recursive: true });
});

async function boot(hosts: Parameters<typeof bootCluster>[0]) {
  cluster = await bootCluster(
    hosts.map((host) => ({ workingDirectory: '/', ...host })),
    { flat: FLAT },
  );
  for (const { name } of hosts) {
    cluster.host(name, async (invocation) => {
      const sandbox = await openSandbox({ layers: layers.path, flat: FLAT });
      sandboxes.push(sandbox);
      return sandbox.invoke(invocation);
    });
  }
}
async function join_(options: Partial<ClientOptions> = {}): Promise<Client> {
  const { seed, secret } = cluster.access('client');
  const runDir = join(folder, `client-${clients.length}`);
  const client = await startClient({ seed, secret: () => secret.toString('base64'), flat: FLAT, runDir, ...options });
  clients.push(client);
  return client;
}
function run(client: Client, command: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const env = client.environmentFor(command, process.env);
    execFile(command[0], command.slice(1), { env }, (error, stdout, stderr) => {
      done({ code: (error?.code as number | undefined) ?? 0, stdout, stderr });
    });
  });
}

test('an ordinary program connects by name to a host that does not run, twice', async () => {
  await boot([{ name: 'web', command: http(8000) }]);
  const client = await join_();
  expect(client.self.address).toMatch(/^100\.64\.255\./);
  const curl = ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code} %{remote_ip}', 'http://web.test:8000/'];
  const first = await run(client, curl);
  expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^200 100\.64\./) });
  const connects = cluster.events.filter((e) => e.event === 'connected').length;
  // The second one finds the location in the table: the seed hears nothing of it.
  expect(await run(client, curl)).toEqual(first);
  expect(cluster.events.filter((e) => e.event === 'connected')).toHaveLength(connects);
});

test('host to host: a guest reaches its peer by name and allocates it', async () => {
  const relay = `
import socket
l = socket.create_server(('0.0.0.0', 7000))
while True:
    s, peer = l.accept()
    c = socket.create_connection(('back', 7001))
    s.sendall(c.recv(100) + b' seen from ' + peer[0].encode())
    s.close()
`;
  const back = `
import socket
l = socket.create_server(('0.0.0.0', 7001))
while True:
    s, peer = l.accept()
    s.sendall(peer[0].encode())
    s.close()
`;
  await boot([
    { name: 'front', command: [python, '-c', relay] },
    { name: 'back', command: [python, '-c', back] },
  ]);
  const client = await join_();
  const script = "import socket; print(socket.create_connection(('front', 7000)).recv(100).decode())";
  const { stdout, stderr } = await run(client, [python, '-c', script]);
  const front = (await cluster.event('front', 'allocating')) && client;
  expect(stderr).toBe('');
  const [seenByBack, seenByFront] = stdout.trim().split(' seen from ');
  expect(seenByFront).toBe(front.self.address);
  expect(seenByBack).toMatch(/^100\.64\./);
  expect(seenByBack).not.toBe(seenByFront);
});

test.each([
  ['a port that a settled host does not listen on', { command: http(8000), settleTime: 100 }, 'ECONNREFUSED'],
  ['a guest that exits', { command: ['false'] }, 'ECONNREFUSED'],
  ['a guest that never listens', { command: ['sleep', '60'], allocationTimeout: 700 }, 'ETIMEDOUT'],
])('%s', async (_, host, errno) => {
  await boot([{ name: 'web', ...host }]);
  const client = await join_();
  const script = "import errno, socket; print(errno.errorcode[socket.socket().connect_ex(('web', 1234))])";
  expect(await run(client, [python, '-c', script])).toMatchObject({ stdout: `${errno}\n`, stderr: '' });
});

test('a port below 1024, by a client under the name of a host', async () => {
  await boot([
    { name: 'web', command: http(80) },
    { name: 'api', command: ['true'] },
  ]);
  const asHost = await join_({ as: 'api' });
  expect(asHost.self.name).toBe('api');
  expect((await run(asHost, ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', 'http://web/'])).stdout).toBe(
    '200',
  );
  expect((await run(asHost, ['hostname'])).stdout).toBe('api\n');
});

test('a guest of the client that gives up is not waited for', async () => {
  await boot([{ name: 'mute', command: ['sleep', '60'] }]);
  const client = await join_();
  await run(client, ['timeout', '-s', 'KILL', '0.5', 'curl', '-sS', 'http://mute/']);
  const waiting = async () => (await fetchStatus(cluster.access('operator'))).hosts[0].waiting;
  expect(await waiting()).toBe(1);
  await eventually(async () => (await waiting()) === 0);
});

test('commands that cannot run are refused before they start; close leaves nothing behind', async () => {
  await boot([]);
  const client = await join_();
  expect(() => client.environmentFor(['no-such-program'], process.env)).toThrow(ProgramError);
  expect(client.shimFor('/usr/bin/env')).toMatch(/shim-glibc\.so$/);
  expect(existsSync(join(client.env.IMAGINARY_DIR, 'table'))).toBe(true);
  await client.close();
  clients = [];
  expect(readdirSync(client.env.IMAGINARY_DIR)).toEqual([]);
});

test('the end of the cluster is told', async () => {
  await boot([]);
  const client = await join_();
  const ended = expect(client.ended).rejects.toBeInstanceOf(ClientEndedError);
  await cluster.seed.stop({ down: true });
  await ended;
});
