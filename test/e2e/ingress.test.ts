/** Exposed ports: what a client outside of the cluster sees, and what the guest sees of the client. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { readPlatform } from '../../src/local';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { beginning, mentioning } from '../support/processes';
import { talk, WHO } from '../support/talk';

const python = '/usr/bin/python3';

const is = (host: string, event: string) => (e: ClusterEvent) => e.host === host && e.event === event;

describe.each([
  ['flat', ['--network', 'flat']],
  ['nat', ['--network', 'nat']],
])('network %s', (network, upArguments) => {
  let cluster: TestCluster;
  let ports: Record<string, number>;
  beforeAll(async () => {
    cluster = await bootCluster(
      [
        { name: 'who', command: [python, '-u', 'who.py', '8000'] },
        { name: 'ends', command: ['/bin/false'] },
        { name: 'dozes', command: [python, '-u', 'who.py', '8000'], idleTimeout: 400, releaseTimeout: 600_000 },
      ],
      {
        name: `ingress-${network}`,
        files: { 'who.py': WHO },
        exposes: [
          { host: 'who', port: 18_000, hostPort: 8_000 },
          { host: 'ends', port: 18_001, hostPort: 8_001 },
          { host: 'dozes', port: 18_002, hostPort: 8_000 },
        ],
        upArguments,
      },
    );
    ports = Object.fromEntries(readPlatform(cluster.state)!.exposed!.map(({ host, port }) => [host, port]));
  });
  afterAll(() => cluster?.dispose());

  test('the first connection allocates the host, and the guest sees the real client', async () => {
    expect((await cluster.host('who')).state).toBe('imagined');
    const { text, error, local } = await talk(ports.who, { input: 'hello\n' });
    expect(error).toBeUndefined();
    const [shown, peer, echoed] = text.split('\n');
    expect(echoed).toBe('hello');
    // On flat, the seed's own connection has another port of the same address.
    const expected = network === 'nat' ? local : expect.stringMatching(/^127\.0\.0\.1 \d+$/);
    expect(shown).toEqual(expected);
    expect(peer).toBe(shown);
    const from = (e: ClusterEvent) => e.detail.from ?? e.detail.by;
    expect(from(await cluster.waitFor(is('who', 'connected')))).toBe('ingress 127.0.0.1');
  });

  test('the host runs: the next ones go through, and megabytes both ways', async () => {
    const input = `${'x'.repeat(79)}\n`.repeat(40_000);
    const all = await Promise.all([1, 2, 3, 4].map(() => talk(ports.who, { input })));
    for (const { text, error } of all) {
      expect(error).toBeUndefined();
      expect(text.length - text.indexOf('x')).toBe(input.length);
    }
    expect((await cluster.host('who')).allocations).toBe(1);
  });

  test('a host that cannot be allocated: the client is reset at once', async () => {
    expect(await talk(ports.ends, { input: 'x', ends: false })).toMatchObject({ text: '', error: 'ECONNRESET' });
  });

  test('the seed dies: clients that connect meanwhile wait for the next one, at the same port', async () => {
    const launched = mentioning(join(cluster.state, 'manifest.json'));
    const seeds = beginning(process.execPath).filter((pid) => launched.includes(pid));
    expect(seeds).toHaveLength(1);
    process.kill(seeds[0], 'SIGKILL');
    const { text, error } = await talk(ports.who, { input: 'again' });
    expect(error).toBeUndefined();
    expect(text).toMatch(/again$/);
  });

  test('data of a client wakes a host that is suspended; when the host stops, the connection ends', async () => {
    const socket = connect(ports.dozes, '127.0.0.1').setEncoding('utf8');
    let text = '';
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    const closed = new Promise<string | undefined>((resolve) => {
      let error: string | undefined;
      socket.on('error', (e: NodeJS.ErrnoException) => {
        error = e.code;
      });
      socket.once('close', () => resolve(error));
    });
    await cluster.waitFor(is('dozes', 'suspended'));
    socket.write('wake\n');
    await eventually(() => text.endsWith('wake\n'));
    expect(await cluster.imaginary(['stop', 'dozes'])).toMatchObject({ code: 0 });
    await closed;
    expect(await cluster.host('dozes')).toMatchObject({ state: 'imagined' });
  });

  test('up, ps --json and the log say where', async () => {
    const [who] = readPlatform(cluster.state)!.exposed!;
    expect(who).toMatchObject({ host: 'who', address: '127.0.0.1', wanted: 18_000, hostPort: 8_000, protocol: 'tcp' });
    const url = `http://127.0.0.1:${ports.who}`;
    const ps = await cluster.imaginary(['ps', '--json']);
    expect(JSON.parse(ps.stdout).exposed[0]).toEqual({ ...who, url });
    expect((await cluster.imaginary(['ps'])).stdout).toContain(`${url} is who`);
    expect(readFileSync(join(readPlatform(cluster.state)!.logDir, 'seed.log'), 'utf8')).toContain(
      'clients are accepted',
    );
  });
});
