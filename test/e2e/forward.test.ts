/** `imaginary forward`: through NATs, and what is said of wrong input and of its end. Direct, relayed: forward.long.ts. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { bootCluster, finish, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { ask, type Forward, open, startForward, untilEnd } from '../support/forward';
import { forwardCases, programOf } from '../support/forward-cases';
import { guestFiles, python } from '../support/guests';
import { family } from '../support/processes';

describe('network: nat', () => forwardCases('nat', ['--network', 'nat']));

describe('its edges', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    const hosts = [
      { name: 'conduct', command: [python, 'conduct.py', '7000'] },
      // Its first port is not its lowest one.
      { name: 'later', command: [python, 'conduct.py', '7001', '7000'] },
      {
        name: 'probed',
        command: [python, 'conduct.py', '7000'],
        readyWhen: { kind: 'http' as const, path: '/', port: 7999, interval: 100, timeout: 5_000 },
      },
      { name: 'fails', command: ['/bin/false'] },
      { name: 'never', command: ['sleep', '60'] },
    ];
    cluster = await bootCluster(hosts, { upArguments: ['--network', 'flat'], files: guestFiles('conduct.py') });
  });
  afterAll(() => cluster?.dispose());

  test('a port that is in use: another one where none was asked for, else an error that names it', async () => {
    const other = createServer().listen(7000, '127.0.0.1');
    await once(other, 'listening');
    try {
      const forward = await startForward(cluster, ['conduct:7000', 'conduct:80']);
      expect(forward.lines).toEqual([
        expect.stringMatching(/^127\.0\.0\.1:(?!7000)\d+ -> conduct:7000 \(7000 is in use here\)$/),
        expect.stringMatching(/^127\.0\.0\.1:\d{4,} -> conduct:80 \(80 is a privileged port\)$/),
      ]);
      expect(await ask(forward.ports[0], 'flood 1\n')).toEqual({ text: '\0' });
      await forward.end('SIGTERM');
      const refused = await cluster.imaginary(['forward', '7000:conduct:7000']);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toMatch(/^imaginary: 127\.0\.0\.1:7000 is in use\nnext: .*0:conduct:7000/);
    } finally {
      other.close();
    }
  });

  test.each([
    [['nobody:80'], 2, "the cluster 'test' has no host 'nobody'", 'Its hosts: conduct, later'],
    [['--bind', '203.0.113.1', '0:conduct:7000'], 1, 'this machine has no address 203.0.113.1', 'Give --bind'],
  ])('%j is refused', async (given, code, message, next) => {
    const refused = await cluster.imaginary(['forward', ...given]);
    expect(refused).toMatchObject({ code, stdout: '' });
    expect(refused.stderr).toContain(message);
    expect(refused.stderr).toContain(next);
  });

  test('--json: one object with all ports; --bind: at another address', async () => {
    const child = cluster.follow(['forward', '--json', '--bind', '127.0.0.9', '0:conduct:7000', '0:conduct.test:7001']);
    const [line] = await once(child.stdout!.setEncoding('utf8'), 'data');
    expect(JSON.parse(line)).toEqual({
      forwards: [
        { local: expect.stringMatching(/^127\.0\.0\.9:\d+$/), host: 'conduct', port: 7000 },
        { local: expect.stringMatching(/^127\.0\.0\.9:\d+$/), host: 'conduct.test', port: 7001 },
      ],
    });
    const ended = once(child, 'close');
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
  });

  test('beyond --max-connections a connection is reset, until another one has ended', async () => {
    const forward = await startForward(cluster, ['0:conduct:7000'], '--max-connections', '2');
    const [port] = forward.ports;
    const holders = await Promise.all([open(port, 'echo\nx\n'), open(port, 'echo\nx\n')]);
    await Promise.all(holders.map((socket) => once(socket, 'data')));
    for (let i = 0; i < 2; i++) expect(await ask(port, '')).toEqual({ text: '', error: 'ECONNRESET' });
    await eventually(() => forward.errors() !== '');
    expect(forward.errors()).toBe(
      'imaginary: a connection to conduct:7000 was refused: there are 2 connections, and no more are allowed\n',
    );
    holders[0].end();
    expect(await untilEnd(holders[0])).toEqual({ text: '' });
    expect(await ask(port, 'flood 1\n')).toEqual({ text: '\0' });
    holders[1].destroy();
    await forward.end('SIGTERM');
  });

  test.each<[readonly string[], RegExp, object]>([
    [['later', '--json'], /^$/, { host: 'later', port: 7001 }],
    [['conduct', '--port', '7000', '--json'], /^$/, { host: 'conduct', port: 7000 }],
    [['probed', '--json'], /^$/, { host: 'probed', port: 7999 }],
  ])('open %j', async (given, stderr, said) => {
    const child = cluster.follow(['open', '--print', ...given]);
    const result = finish(child, 'open');
    const [line] = await once(child.stdout!, 'data');
    const { url, ...more } = JSON.parse(line);
    expect(more).toEqual(said);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    if (more.port !== 7999) expect(await ask(Number(new URL(url).port), 'flood 1\n')).toEqual({ text: '\0' });
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ code: 143, stderr: expect.stringMatching(stderr) });
  });

  test.each([
    [['nobody'], 2, "has no host 'nobody'"],
    [['conduct:80'], 2, "'conduct:80' is no name of a host"],
    [['fails'], 1, 'fails is '],
  ])('open %j is refused', async (given, code, message) => {
    const refused = await cluster.imaginary(['open', ...given]);
    expect(refused).toMatchObject({ code, stdout: '' });
    expect(refused.stderr).toContain(message);
  });

  test('open: the browser of a desktop gets the URL', async () => {
    const bin = mkdtempSync(join(cluster.folder, 'bin-'));
    const got = join(bin, 'got');
    writeFileSync(join(bin, 'xdg-open'), `#!/bin/sh\necho "$1" >${got}.new; mv ${got}.new ${got}\n`, { mode: 0o755 });
    const env = { DISPLAY: ':7', PATH: `${bin}:${process.env.PATH}` };
    const child = cluster.follow(['open', 'conduct', '--port', '7000'], { env });
    const [line] = await once(child.stdout!, 'data');
    await eventually(() => existsSync(got));
    expect(readFileSync(got, 'utf8')).toBe(String(line));
    const ended = once(child, 'close');
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
  });

  test('a client that leaves while its host comes up leaves nothing behind', async () => {
    const forward = await startForward(cluster, ['0:never:7000']);
    const [program] = programOf(forward);
    const descriptors = () => readdirSync(`/proc/${program}/fd`).length;
    const before = descriptors();
    const socket = await open(forward.ports[0]);
    await eventually(() => descriptors() > before);
    socket.resetAndDestroy();
    await eventually(() => descriptors() === before);
    expect((await forward.end('SIGTERM')).stderr).toBe('');
  });

  test('killed: its program and its ports end with it', async () => {
    const forward = await startForward(cluster, ['0:conduct:7000']);
    const processes = family(forward.pid);
    const socket = await open(forward.ports[0], 'hold\n');
    await once(socket, 'data');
    await Promise.all([forward.end('SIGKILL'), untilEnd(socket)]);
    await eventually(() => processes.every((pid) => family(pid).length === 0));
    await expect(open(forward.ports[0])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('the cluster goes down: it ends too, and says why', async () => {
    const forward: Forward = await startForward(cluster, ['0:conduct:7000']);
    expect(await cluster.down()).toMatchObject({ code: 0 });
    const { code, stderr } = await forward.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^imaginary: the cluster has ended this command's membership/);
  });
});
