/** What holds for `imaginary forward` on each network: real clients of this machine reach hosts at localhost. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bootCluster, type TestCluster } from './cluster';
import { eventually } from './eventually';
import { ask, type Forward, open, startForward, untilEnd } from './forward';
import { guestFiles, python, redisServer } from './guests';
import { family, mentioning } from './processes';

const run = promisify(execFile);
const MEBI = 1024 * 1024;

const files = {
  ...guestFiles('conduct.py'),
  'server.sh': readFileSync(join(__dirname, '../suites/guests/postgres/server.sh'), 'utf8'),
};
const isReady = '$(echo /usr/lib/postgresql/*/bin/pg_isready) -h localhost';
const HOSTS = [
  { name: 'conduct', aliases: ['behave'], command: [python, 'conduct.py', '7000'] },
  { name: 'many', command: [python, 'conduct.py', '7000'] },
  { name: 'redis', command: [...redisServer] },
  {
    name: 'db',
    command: ['sh', '-eu', 'server.sh'],
    readyWhen: { kind: 'command' as const, command: ['sh', '-c', isReady], interval: 100, timeout: 5_000 },
  },
  { name: 'ends', command: ['sh', '-c', 'exit 3'] },
];

/** The program that has the connections. */
export const programOf = ({ pid }: Forward) => family(pid).filter((id) => mentioning('/forward ').includes(id));

export function forwardCases(network: string, upArguments: readonly string[]): void {
  let cluster: TestCluster;
  let forward: Forward;
  let port: number;
  beforeAll(async () => {
    cluster = await bootCluster(HOSTS, { upArguments, files });
    const targets = ['0:behave:7000', '0:redis:6379', '0:db:5432', '0:ends:80', '0:many:7000', '0:conduct:7999'];
    forward = await startForward(cluster, targets);
    [port] = forward.ports;
  });
  afterAll(() => cluster?.dispose());

  test('nothing is allocated before a connection, and the first one waits for its host', async () => {
    expect(forward.lines[0]).toBe(`127.0.0.1:${port} -> behave:7000`);
    expect((await cluster.ps()).map(({ state }) => state)).toEqual(Array(5).fill('imagined'));
    const socket = await open(port, 'echo\nhello\n');
    expect(String((await once(socket, 'data'))[0])).toBe('hello\n');
    socket.end();
    expect(await untilEnd(socket)).toEqual({ text: '' });
    expect(forward.errors()).toBe('');
  });

  test('half-close: this side ends, and the answer comes back', async () => {
    const socket = await open(port, 'count\n');
    socket.end('x'.repeat(100_000));
    expect(await untilEnd(socket)).toEqual({ text: '100000' });
  });

  test('resets are passed on, both ways', async () => {
    expect(await ask(port, 'reset\n')).toEqual({ text: '', error: 'ECONNRESET' });
    const socket = await open(port, 'hold\n');
    await once(socket, 'data');
    socket.resetAndDestroy();
    expect(await ask(port, 'held\n')).toEqual({ text: 'ConnectionResetError' });
  });

  test('a reader that does not read stops the writer, and nothing is lost', async () => {
    const size = 64 * MEBI;
    const socket = await open(port, `flood ${size}\n`);
    await once(socket, 'readable');
    const [program] = programOf(forward);
    const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${program}/status`, 'utf8'))![1]);
    expect(resident()).toBeLessThan(16 * 1024);
    let got = 0;
    let wrong = 0;
    socket.on('data', (data: Buffer) => {
      if (data[0] !== got % 256) wrong += 1;
      got += data.length;
    });
    await once(socket, 'end');
    socket.destroy();
    expect([got, wrong]).toEqual([size, 0]);
    expect(resident()).toBeLessThan(16 * 1024);
  });

  test('200 connections at once to a host that does not run: one allocation, and all are answered', async () => {
    const [, , , , many] = forward.ports;
    const sockets = await Promise.all(Array.from({ length: 200 }, (_, i) => open(many, `echo\n${i}\n`)));
    const said = await Promise.all(sockets.map((socket) => once(socket, 'data').then(([data]) => String(data))));
    expect(said).toEqual(sockets.map((_, i) => `${i}\n`));
    expect(await cluster.host('many')).toMatchObject({ state: 'running', allocations: 1 });
    for (const socket of sockets) socket.destroy();
  });

  test('a host that cannot be connected to: a reset, and why, once for each cause', async () => {
    const [, , , ends, , absent] = forward.ports;
    for (let i = 0; i < 3; i++) expect(await ask(ends, '')).toEqual({ text: '', error: 'ECONNRESET' });
    for (let i = 0; i < 2; i++) expect(await ask(absent, '')).toEqual({ text: '', error: 'ECONNRESET' });
    await eventually(() => forward.errors().trim().split('\n').length >= 2);
    const lines = forward.errors().trim().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^imaginary: connect to ends:80: ECONNREFUSED: .*exited with code 3/),
      expect.stringMatching(/^imaginary: connect to conduct:7999: ECONNREFUSED/),
    ]);
  });

  test('redis-cli and psql, before and after a restart of the seed', async () => {
    const [, redis, db] = forward.ports;
    const cli = async (...args: string[]) => (await run('redis-cli', ['-p', String(redis), ...args])).stdout.trim();
    const psql = async (query: string) =>
      (await run('psql', ['-h', '127.0.0.1', '-p', String(db), '-U', 'postgres', '-Atc', query])).stdout.trim();
    const kept = await open(redis, 'SET kept yes\r\n');
    expect(String((await once(kept, 'data'))[0])).toBe('+OK\r\n');
    expect(await psql('create table t as select 42 as n; select n from t')).toBe('SELECT 1\n42');

    const before = Date.now();
    const [seed] = mentioning('seed.js --manifest').filter(
      (pid) => mentioning(cluster.folder).includes(pid) && !mentioning('sandbox --control').includes(pid),
    );
    process.kill(seed, 'SIGKILL');
    expect(await cli('GET', 'kept')).toBe('yes');
    expect(await psql('select n from t')).toBe('42');
    await cluster.waitFor(({ event, time }) => event === 'seed-started' && time > before);
    if (network === 'nat, relayed') {
      // What the seed has relayed ends with it.
      expect((await untilEnd(kept)).error).toBe('ECONNRESET');
    } else {
      kept.write('GET kept\r\n');
      expect(String((await once(kept, 'data'))[0])).toBe('$3\r\nyes\r\n');
      kept.destroy();
    }
  });

  test('a host that is stopped: its connections are reset, and the next one starts it anew', async () => {
    const socket = await open(port, 'hold\n');
    await once(socket, 'data');
    const ended = untilEnd(socket);
    expect(await cluster.imaginary(['stop', 'conduct'])).toMatchObject({ code: 0 });
    expect(await ended).toMatchObject({ text: '' });
    expect(await ask(port, 'flood 3\n')).toEqual({ text: '\0\x01\x02' });
  });

  test('SIGTERM: open connections are reset, the ports are free, nothing is left, exit code 143', async () => {
    const socket = await open(port, 'hold\n');
    await once(socket, 'data');
    const [program] = programOf(forward);
    const [{ code }, { error }] = await Promise.all([forward.end('SIGTERM'), untilEnd(socket)]);
    expect([code, error]).toEqual([143, 'ECONNRESET']);
    expect(mentioning('/forward ')).not.toContain(program);
    await expect(open(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
}
