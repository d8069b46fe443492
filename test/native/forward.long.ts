/**
 * The program `forward` (src/native/forward) without a shim, where the addresses of its hosts are the machine's: plain, with
 * gcc's sanitizers, and under valgrind.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { loadNative } from '../../src/native/addon/load';
import { has, hasAddressSanitizer } from '../shim/harness';
import { eventually } from '../support/eventually';

jest.setTimeout(120_000);

const root = resolve(__dirname, '../..');
const native = join(root, 'src/native');
const folder = join(root, 'node_modules/.cache/forward-test');
const SOURCES = ['base', 'relay', 'forward'].flatMap((part) =>
  readdirSync(join(native, part))
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(native, part, name)),
);
const FLAGS = ['-Wall', '-Wextra', '-Werror', '-g', '-pthread', '-I', native, '-I', join(root, 'src')];
const EUSERS = 87;
const ECONNREFUSED = 111;
const MEBI = 1024 * 1024;

const built = new Set<string>();
function build(name: string, ...flags: string[]): string {
  const output = join(folder, name);
  if (built.has(output)) return output;
  built.add(output);
  mkdirSync(folder, { recursive: true });
  execFileSync('gcc', [...FLAGS, ...flags, '-o', output, ...SOURCES]);
  return output;
}

const BUILDS: ReadonlyArray<readonly [name: string, there: boolean, command: () => string[]]> = [
  ['plain', true, () => [build('plain', '-O2')]],
  ['address', hasAddressSanitizer, () => [build('address', '-fsanitize=address,undefined')]],
  ['thread', hasAddressSanitizer, () => [build('thread', '-fsanitize=thread')]],
  [
    'valgrind',
    has('valgrind'),
    () => ['valgrind', '-q', '--error-exitcode=9', '--leak-check=full', build('plain', '-O2')],
  ],
];

interface Program {
  readonly child: ChildProcess;
  readonly port: number;
  readonly reports: string[];
  /** Ends its input. @returns its exit code, and what it has written on standard error */
  end(): Promise<readonly [code: number | null, errors: string]>;
}

const started: ChildProcess[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) server.close();
});

/** @param to port at 127.0.0.1 */
function start(command: readonly string[], to: number, most: number, prefix: readonly string[] = []): Program {
  const addon = loadNative();
  const [listener, port] = addon.listen('127.0.0.1', 0, false);
  const [file, ...args] = [...prefix, ...command, String(most), `3:127.0.0.1:${to}`];
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe', listener] });
  started.push(child);
  addon.closeDescriptor(listener);
  for (const stream of [child.stdin!, child.stdout!, child.stderr!]) stream.on('error', () => undefined);
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const reports: string[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => reports.push(line));
  const closed = once(child, 'close');
  return {
    child,
    port,
    reports,
    end: async () => {
      child.stdin!.end();
      const [code] = await closed;
      return [code, errors];
    },
  };
}

async function serve(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Pipes are kept for the next connections, sockets are not. */
function sockets({ child }: Program): number {
  const folder = `/proc/${child.pid}/fd`;
  return readdirSync(folder).filter((fd) => linkOf(join(folder, fd)).startsWith('socket:')).length;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // it has been closed meanwhile
  }
}

const echo = () => serve((socket) => socket.pipe(socket));

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** What comes until the end, or the errno that ends it. */
function rest(socket: Socket): Promise<string> {
  return new Promise((done) => {
    let text = '';
    socket.on('data', (data) => (text += data));
    socket.once('end', () => done(text));
    socket.once('close', () => done((socket.errored as NodeJS.ErrnoException | null)?.code ?? text));
  });
}

describe.each(BUILDS.filter(([, there]) => there))('%s', (_, __, make) => {
  let command: readonly string[];
  beforeAll(() => {
    command = make();
  });

  test('many connections at a time, each way; half-close; nothing is left', async () => {
    const program = start(command, await echo(), 1_000);
    const first = await open(program.port);
    first.write('x');
    await once(first, 'data');
    const before = sockets(program) - 2;
    first.resetAndDestroy();
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(Array.from({ length: 60 }, () => open(program.port)));
      const said = all.map((socket, i) => {
        socket.end(`${i}`.repeat(10_000));
        return rest(socket);
      });
      expect(await Promise.all(said)).toEqual(all.map((_, i) => `${i}`.repeat(10_000)));
    }
    await eventually(() => sockets(program) === before);
    expect(program.reports).toEqual([]);
    expect(await program.end()).toEqual([0, '']);
  });

  test('resets and slow readers at once', async () => {
    const block = Buffer.alloc(MEBI, 'x');
    const port = await serve((socket) => {
      socket.once('data', (said) => (String(said) === 'much' ? socket.write(block) : socket.resetAndDestroy()));
    });
    const program = start(command, port, 1_000);
    const sockets = await Promise.all(Array.from({ length: 40 }, () => open(program.port)));
    const ends = sockets.map(async (socket, i) => {
      socket.write(i % 2 === 0 ? 'much' : 'now');
      if (i % 2 === 1) expect(await rest(socket)).toBe('ECONNRESET');
      else await once(socket, 'readable');
      socket.resetAndDestroy();
    });
    await Promise.all(ends);
    expect(await program.end()).toEqual([0, '']);
  });

  test('a port that nobody has: reset, and reported until it is there', async () => {
    const port = await serve(() => undefined);
    await new Promise((done) => servers.pop()!.close(done));
    const program = start(command, port, 1_000);
    const refused = () => open(program.port).then(rest, (error: NodeJS.ErrnoException) => error.code);
    for (let i = 0; i < 2; i++) expect(await refused()).toBe('ECONNRESET');
    await eventually(() => program.reports.length === 2);
    const server = createServer((socket) => socket.on('error', () => undefined).end('here')).listen(port, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    for (let i = 0; i < 2; i++) expect(await rest(await open(program.port))).toBe('here');
    await eventually(() => program.reports.length === 3);
    expect(program.reports).toEqual([`0 ${ECONNREFUSED} 1`, `0 ${ECONNREFUSED} 1`, '0 0 1']);
    expect(await program.end()).toEqual([0, '']);
  });

  test('its end resets what is open', async () => {
    const program = start(command, await echo(), 10);
    const socket = await open(program.port);
    socket.write('x');
    await once(socket, 'data');
    const [ended, code] = await Promise.all([rest(socket), program.end()]);
    expect([ended, code]).toEqual(['ECONNRESET', [0, '']]);
  });
});

describe('its bounds', () => {
  test('no more connections than there are descriptors for', async () => {
    // 64 are reserved, and each connection may need six.
    const limit = ['prlimit', `--nofile=${64 + 6 * 3 + 1}`];
    const program = start([build('plain', '-O2')], await echo(), 1_000, limit);
    const sockets = await Promise.all(Array.from({ length: 3 }, () => open(program.port)));
    for (const socket of sockets) socket.write('x');
    await Promise.all(sockets.map((socket) => once(socket, 'data')));
    expect(await open(program.port).then(rest, (error) => error.code)).toBe('ECONNRESET');
    await eventually(() => program.reports.length === 1);
    expect(program.reports).toEqual([`0 ${EUSERS} 3`]);
    expect(await program.end()).toEqual([0, '']);
  });

  test.each([
    [[]],
    [['1']],
    [['0', '3:127.0.0.1:80']],
    [['1000001', '3:127.0.0.1:80']],
    [['x', '3:127.0.0.1:80']],
    [['1', '2:127.0.0.1:80']],
    [['1', '3:127.0.0.1:0']],
    [['1', '3:127.0.0.1:65536']],
    [['1', '3:127.0.0:80']],
    [['1', '3:127.0.0.1']],
    [['1', '3:127.0.0.1:80:1']],
    [['1', '9:127.0.0.1:80']],
    [['1', ...Array(65).fill('3:127.0.0.1:80')]],
  ])('wrong arguments (%#): its usage, and exit code 2', async (args) => {
    const child = spawn(build('plain', '-O2'), args, { stdio: ['ignore', 'ignore', 'pipe', 'ignore'] });
    const [[code], [text]] = await Promise.all([once(child, 'close'), once(child.stderr!, 'data')]);
    expect([code, String(text)]).toEqual([2, 'usage: forward MOST LISTENER:ADDRESS:PORT…\n']);
  });
});
