/** A service from outside of the cluster: by an exposed port, by `forward` and by `open`. */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { readPlatform } from '../../src/local';
import { bootCluster, type TestCluster } from '../support/cluster';
import { startForward } from '../support/forward';
import { python } from '../support/guests';
import { processesOf } from '../support/processes';
import { talk } from '../support/talk';

/** Says its host's name, then echoes. */
const NAMED = `
import os, socket, threading
def serve(c):
    try:
        c.sendall((os.environ['IMAGINARY_NODE_NAME'] + "\\n").encode())
        while data := c.recv(65536): c.sendall(data)
    except OSError: pass
    c.close()
s = socket.create_server(("", 8000), backlog=512)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`;
const named = (name: string) => ({ name, command: [python, '-u', 'named.py'] });
const hosts = [...['a', 'b', 'c', 's', 't'].map(named), ...['x', 'y'].map((name) => ({ name, command: ['false'] }))];
const services = [
  { name: 'web', hosts: ['a', 'b', 'c'], maxConnections: 2 },
  { name: 'stuck', hosts: ['s', 't'], maxConnections: 1, sticky: true },
  { name: 'dead', hosts: ['x', 'y'] },
  { name: 'half', hosts: ['x', 'a'] },
];
/** What clients are refused here is refused by a service, not by their number: all are at one address. */
const unlimited = { maxNewConnectionsPerMinutePerClient: 1_000_000, maxAllocationsPerMinutePerClient: 1_000 };
const exposes = services.map(({ name: host }, i) => ({ host, port: 18_010 + i, hostPort: 8_000, ...unlimited }));

describe.each(['flat', 'nat'])('network %s', (network) => {
  const name = `expose-services-${network}`;
  let cluster: TestCluster;
  let ports: Record<string, number>;
  const open: Socket[] = [];
  beforeAll(async () => {
    const options = { name, services, exposes, files: { 'named.py': NAMED }, upArguments: ['--network', network] };
    cluster = await bootCluster(hosts, options);
    ports = Object.fromEntries(readPlatform(cluster.state)!.exposed!.map(({ host, port }) => [host, port]));
  });
  afterAll(() => cluster?.dispose());

  /** A connection that stays. @returns the host's name */
  function hold(service: string, from = '127.0.0.1'): Promise<string> {
    const socket = connect({ port: ports[service], host: '127.0.0.1', localAddress: from });
    open.push(socket);
    return new Promise((resolve, reject) => {
      socket.setTimeout(30_000, () => reject(new Error('nothing came')));
      socket.once('data', (data) => resolve(String(data).trim()));
      socket.on('error', reject);
    });
  }
  async function release(): Promise<void> {
    const closed = open.splice(0).map((socket) => {
      const end = new Promise((resolve) => socket.once('close', resolve));
      socket.destroy();
      return end;
    });
    await Promise.all(closed);
  }

  test('the first client imagines one host; when it is full the next one is imagined; what was chosen is in the events', async () => {
    expect((await cluster.ps()).every(({ state }) => state === 'imagined')).toBe(true);
    const seen = [await hold('web')];
    expect((await cluster.ps()).filter(({ state }) => state !== 'imagined').map((host) => host.name)).toEqual(['a']);
    // More than all have room for, at once.
    seen.push(...(await Promise.all(Array.from({ length: 8 }, () => hold('web')))));
    expect([...new Set(seen)].sort()).toEqual(['a', 'b', 'c']);
    for (const host of ['a', 'b', 'c']) expect(seen.filter((one) => one === host).length).toBeGreaterThanOrEqual(2);
    const { host, detail } = await cluster.waitFor(({ event }) => event === 'service-chosen');
    const why = 'all that run are full, and it is imagined';
    expect([host, detail]).toEqual(['a', { from: 'ingress 127.0.0.1', service: 'web', port: 8000, why }]);
    await release();
  });

  test('a host is killed under load: none is refused, and it serves again', async () => {
    let [running, runs, broken, served] = [true, 0, 0, 0];
    const client = async () => {
      while (running) {
        const { text } = await talk(ports.web, { input: 'x' });
        if (text === '') broken += 1;
        else served += 1;
      }
    };
    const clients = Array.from({ length: 6 }, client);
    for (const pid of processesOf(`${name}-b`)) kill(pid);
    await cluster.waitFor(({ host, event }) => host === 'b' && event === 'failed');
    await cluster.waitFor(({ host, event }) => host === 'b' && event === 'running' && ++runs === 2);
    running = false;
    await Promise.all(clients);
    expect(served).toBeGreaterThan(6);
    // At most those that were connected to it at that moment.
    expect(broken).toBeLessThanOrEqual(6);
    expect((await cluster.events()).filter(({ event }) => event === 'ingress-refused')).toEqual([]);
  });

  test('a service whose hosts all fail: the client is reset; one that fails beside one that serves costs nothing', async () => {
    expect(await talk(ports.dead, { input: 'x', ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
    const tried = (await cluster.events()).filter(({ event, host }) => event === 'allocating' && host! >= 'x');
    expect([...new Set(tried.map(({ host }) => host))].sort()).toEqual(['x', 'y']);
    expect((await talk(ports.half, { input: 'x' })).text).toBe('a\nx');
  });

  test('a sticky one leads each client to its own host', async () => {
    const first = await hold('stuck', '127.0.0.1');
    const other = await hold('stuck', '127.0.0.2');
    expect([first, other].sort()).toEqual(['s', 't']);
    for (let i = 0; i < 3; i++) {
      expect(await hold('stuck', '127.0.0.1')).toBe(first);
      expect(await hold('stuck', '127.0.0.2')).toBe(other);
    }
    await release();
  });

  test('forward and open take its name; ps says where it is exposed', async () => {
    const forward = await startForward(cluster, ['0:web:8000']);
    expect((await talk(forward.ports[0], { input: 'x' })).text).toMatch(/^[abc]\nx$/);
    await forward.end('SIGTERM');
    const opened = cluster.follow(['open', 'web', '--print']);
    const { value } = await createInterface({ input: opened.stdout! })[Symbol.asyncIterator]().next();
    const port = Number(/^http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(value as string)?.[1]);
    expect((await talk(port, { input: 'x' })).text).toMatch(/^[abc]\nx$/);
    opened.kill('SIGTERM');
    expect((await cluster.imaginary(['ps'])).stdout).toContain(`:${ports.web} is web`);
  });
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended with another one.
  }
}
