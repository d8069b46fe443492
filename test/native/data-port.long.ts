/**
 * The seed's data port (src/native/relay) as a program of its own: plain, with gcc's sanitizers, and under valgrind.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { has, hasAddressSanitizer } from '../shim/harness';

jest.setTimeout(120_000);

const root = resolve(__dirname, '../..');
const folder = join(root, 'node_modules/.cache/data-port-test');
const native = join(root, 'src/native');
const cFiles = (dir: string) =>
  readdirSync(dir)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(dir, name));
const SOURCES = [join(__dirname, 'data-port.c'), ...['base', 'relay'].flatMap((part) => cFiles(join(native, part)))];
const FLAGS = ['-std=c11', '-Wall', '-Wextra', '-Werror', '-g', '-pthread', '-I', native, '-I', join(root, 'src')];

function build(name: string, ...flags: string[]): string {
  mkdirSync(folder, { recursive: true });
  const output = join(folder, name);
  execFileSync('gcc', [...FLAGS, ...flags, '-o', output, ...SOURCES]);
  return output;
}

interface Line {
  readonly type: string;
  readonly id?: number;
  readonly [field: string]: unknown;
}

interface DataPort {
  readonly child: ChildProcess;
  readonly port: number;
  readonly lines: Line[];
  /** The first line, past or future, that matches. */
  line(type: string, id?: number): Promise<Line>;
  /** A pair of tokens; undefined: the relay is full. */
  tokens(id: number): Promise<[Buffer, Buffer] | undefined>;
  /** Closes it; checks that it ends well. */
  close(): Promise<void>;
}

interface Limits {
  readonly pairs?: number;
  readonly header?: number;
  readonly pair?: number;
  readonly probe?: number;
}

const open = new Set<ChildProcess>();
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const child of open) child.kill('SIGKILL');
});

async function start(command: readonly string[], { pairs, header, pair, probe }: Limits = {}): Promise<DataPort> {
  const limits = [pairs ?? 4_096, header ?? 20_000, pair ?? 20_000, probe ?? 20_000];
  const [file, ...args] = [...command, ...limits.map(String)];
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  open.add(child);
  let errors = '';
  child.stderr.on('data', (text) => (errors += text));
  const lines: Line[] = [];
  const watchers = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (text) => {
    lines.push(JSON.parse(text));
    for (const watcher of watchers) watcher();
  });
  const ended = once(child, 'close').then(([code]) => {
    open.delete(child);
    return code as number | null;
  });
  const line: DataPort['line'] = (type, id) =>
    new Promise((found, fail) => {
      const look = () => {
        const match = lines.find((l) => l.type === type && (id === undefined || l.id === id));
        if (!match) return;
        watchers.delete(look);
        found(match);
      };
      watchers.add(look);
      look();
      void ended.then(() => fail(new Error(`it ended without '${type}': ${errors}`)));
    });
  const { port } = (await line('open')) as unknown as { port: number };
  return {
    child,
    port,
    lines,
    line,
    tokens: async (id) => {
      const both: [Buffer, Buffer] = [randomBytes(32), randomBytes(32)];
      child.stdin.write(`expect ${both[0].toString('hex')} ${both[1].toString('hex')} ${id}\n`);
      return (await line('answer', id)).ok ? both : undefined;
    },
    close: async () => {
      child.stdin.end();
      expect({ code: await ended, errors }).toEqual({ code: 0, errors: '' });
    },
  };
}

interface Client {
  readonly socket: Socket;
  /** All that came, until the end. */
  readonly received: () => Buffer;
  /** Waits for so many bytes. */
  bytes(count: number): Promise<Buffer>;
  /** Resolves with `end`, or with the error's code. */
  readonly over: Promise<string>;
}

function client({ port }: { port: number }, ...first: Array<string | Buffer>): Client {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  sockets.add(socket);
  let received = Buffer.alloc(0);
  let wake: () => unknown = () => undefined;
  socket.on('data', (data) => {
    received = Buffer.concat([received, data]);
    wake();
  });
  const over = new Promise<string>((done) => {
    socket.once('end', () => done('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.once('close', () => done('close'));
  });
  if (first.length > 0) socket.write(Buffer.concat(first.map((part) => Buffer.from(part))));
  return {
    socket,
    received: () => received,
    bytes: (count) =>
      new Promise((done) => {
        wake = () => received.length >= count && done(received);
        wake();
      }),
    over,
  };
}

/** The first to come: its token was seen. */
async function withToken(port: DataPort, token: Buffer): Promise<Client> {
  const first = client(port, 'IMR1', token);
  await once(first.socket, 'connect');
  // A probe behind it is answered when the token was seen.
  await client(port, 'IMP1').bytes(6);
  return first;
}

/** A relayed pair of clients that have had their byte. */
async function pairOf(port: DataPort, id: number): Promise<[Client, Client]> {
  const [a, b] = (await port.tokens(id))!;
  const both: [Client, Client] = [client(port, 'IMR1', a), client(port, 'IMR1', b)];
  for (const side of both) expect(await side.bytes(1)).toEqual(Buffer.from([1]));
  return both;
}

const connected = (socket: Socket) =>
  new Promise<void>((done) => (socket.connecting ? socket.once('connect', () => done()) : done()));

const write = (socket: Socket, data: Buffer) =>
  new Promise<void>((done, fail) => socket.write(data, (error) => (error ? fail(error) : done())));

/** Sends so much noise, then FIN; its digest. */
async function send(socket: Socket, megabytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let i = 0; i < megabytes; i++) {
    const noise = randomBytes(1 << 20);
    hash.update(noise);
    await write(socket, noise);
  }
  socket.end();
  return hash.digest('hex');
}

async function digest(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk));
  await once(socket, 'end');
  return hash.digest('hex');
}

/**
 * Sends until nothing fits any more and resets; then reads what the other side has. Prints whether it had something,
 * and its end.
 */
const UNREAD = `
import errno, socket, struct, sys
def side(token):
    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    s.sendall(b'IMR1' + bytes.fromhex(token))
    return s
a, b = side(sys.argv[2]), side(sys.argv[3])
assert (a.recv(1), b.recv(1)) == (b'\\1', b'\\1')
a.setblocking(False)
try:
    while True: a.send(b'x' * 65536)
except BlockingIOError:
    pass
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
a.close()
sys.stdin.readline()
got = 0
try:
    while data := b.recv(1 << 20): got += len(data)
    print(got > 0, 'end')
except OSError as error:
    print(got > 0, errno.errorcode[error.errno])
`;

const VALGRIND = ['valgrind', '-q', '--error-exitcode=9', '--leak-check=full'];
const BUILDS: ReadonlyArray<[string, boolean, () => string[]]> = [
  ['plain', true, () => [build('plain', '-O2')]],
  ['with sanitizers', hasAddressSanitizer, () => [build('address', '-O1', '-fsanitize=address,undefined')]],
  ['under valgrind', has('valgrind'), () => [...VALGRIND, build('plain-valgrind', '-O1')]],
];

describe.each(BUILDS.filter(([, there]) => there))('%s', (name, _, command) => {
  let program: string[];
  beforeAll(() => {
    program = command();
  });
  const begin = (limits?: Limits) => start(program, limits);

  test('a probe is told its address and port, and kept until its client goes', async () => {
    const port = await begin();
    const probe = client(port, 'IMP1');
    const answer = await probe.bytes(6);
    expect([...answer.subarray(0, 4)]).toEqual([127, 0, 0, 1]);
    expect(answer.readUInt16BE(4)).toBe(probe.socket.localPort);
    probe.socket.end();
    expect(await probe.over).toBe('end');
    await port.close();
  });

  test('a probe that stays for too long is reset', async () => {
    const port = await begin({ probe: 50 });
    const probe = client(port, 'IMP1');
    await probe.bytes(6);
    expect(await probe.over).toBe('ECONNRESET');
    await port.close();
  });

  test('100 MB in both directions at once, then both ends', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const first = connect({ port: port.port, host: '127.0.0.1', allowHalfOpen: true });
    const second = connect({ port: port.port, host: '127.0.0.1', allowHalfOpen: true });
    first.write(Buffer.concat([Buffer.from('IMR1'), a]));
    second.write(Buffer.concat([Buffer.from('IMR1'), b]));
    for (const side of [first, second]) {
      await once(side, 'readable');
      expect(side.read(1)).toEqual(Buffer.from([1]));
    }
    const [sentThere, gotThere, sentBack, gotBack] = await Promise.all([
      send(first, 100),
      digest(second),
      send(second, 100),
      digest(first),
    ]);
    expect([gotThere, gotBack]).toEqual([sentThere, sentBack]);
    const bytes = 100 << 20;
    expect(await port.line('ended', 1)).toEqual({ type: 'ended', id: 1, bytes: [bytes, bytes], error: 0 });
    await port.close();
  });

  test('what was sent behind the token arrives, and an end of one direction leaves the other one open', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const first = client(port, 'IMR1', a, 'early');
    const second = client(port, 'IMR1', b);
    expect((await second.bytes(6)).toString('latin1')).toBe('\x01early');
    first.socket.end(' and the end');
    expect(await second.over).toBe('end');
    expect(second.received().toString('latin1')).toBe('\x01early and the end');
    for (const word of ['still', ' here']) {
      second.socket.write(word);
      await first.bytes(1 + word.length);
    }
    second.socket.end('.');
    expect(await first.over).toBe('end');
    expect(first.received().toString('latin1')).toBe('\x01still here.');
    expect(await port.line('ended', 1)).toMatchObject({ bytes: [17, 11], error: 0 });
    await port.close();
  });

  test('a reader that does not read stops the writer, not the relay', async () => {
    const port = await begin();
    const [first, second] = await pairOf(port, 1);
    const [third, fourth] = await pairOf(port, 2);
    const TOTAL = 96;
    let written = 0;
    let most = 0;
    let read = 0;
    second.socket.removeAllListeners('data').pause();
    const writing = (async () => {
      const chunk = randomBytes(4 << 20);
      for (; written < TOTAL << 20; written += chunk.length) await write(first.socket, chunk);
      first.socket.end();
    })();
    let ended = false;
    second.socket.once('end', () => (ended = true));
    for (let turn = 0; !ended; turn++) {
      const piece = second.socket.read();
      read += piece?.length ?? 0;
      most = Math.max(most, written - read);
      if (turn % 16 === 0) {
        // The others do not notice.
        third.socket.write('x');
        await fourth.bytes(2 + turn / 16);
      }
      await new Promise(setImmediate);
    }
    await writing;
    expect(read).toBe(TOTAL << 20);
    // The kernel's buffers of three sockets: without back-pressure it would be nearly all.
    expect(most).toBeLessThan(40 << 20);
    if (name === 'plain') {
      const status = readFileSync(`/proc/${port.child.pid}/status`, 'utf8');
      expect(Number(/VmHWM:\s+(\d+)/.exec(status)![1])).toBeLessThan(8 * 1024);
    }
    await port.close();
  });

  test('a pair that is broken off is reset on both sides; sides that are there stay when they are probed', async () => {
    const port = await begin();
    const [[a, b], other] = [await pairOf(port, 1), await pairOf(port, 2)];
    for (const words of ['probe 1 0 1', 'probe 1 1 1', 'probe 1 1 0', 'break 2']) port.child.stdin!.write(`${words}\n`);
    for (const side of other) expect(await side.over).toBe('ECONNRESET');
    expect(await port.line('ended', 2)).toMatchObject({ error: 110 });
    // Longer than a side that is not there would have.
    await new Promise((done) => setTimeout(done, 4_500));
    a.socket.write('still there');
    expect((await b.bytes(12)).toString()).toBe('\u0001still there');
    await port.close();
  });

  test('a reset is passed on as a reset', async () => {
    const port = await begin();
    const [first, second] = await pairOf(port, 1);
    first.socket.write('before');
    await second.bytes(7);
    first.socket.resetAndDestroy();
    expect(await second.over).toBe('ECONNRESET');
    expect(((await port.line('ended', 1)).error as number) > 0).toBe(true);
    await port.close();
  });

  test('a reset of one whose peer does not read is passed on too', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    // Not Node.js: its sockets show a reset behind data as an end.
    const python = spawn('/usr/bin/python3', ['-c', UNREAD, String(port.port), a.toString('hex'), b.toString('hex')]);
    let output = '';
    python.stdout.on('data', (text) => (output += text));
    expect(await port.line('ended', 1)).toMatchObject({ error: 104 });
    python.stdin.end('it has ended\n');
    await once(python, 'close');
    expect(output).toBe('True ECONNRESET\n');
    await port.close();
  });

  test('a token is good for one use, by one side each; others are reset', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const first = client(port, 'IMR1', a);
    await port.line('answer', 1);
    const again = client(port, 'IMR1', a);
    // Which of the two comes first is not said; one of them waits, the other one is reset.
    const loser = await Promise.race([first.over.then(() => first), again.over.then(() => again)]);
    const winner = loser === first ? again : first;
    expect(await loser.over).toBe('ECONNRESET');
    const second = client(port, 'IMR1', b);
    await Promise.all([winner.bytes(1), second.bytes(1)]);
    for (const token of [a, b, randomBytes(32)]) {
      const late = client(port, 'IMR1', token);
      expect(await late.over).toBe('ECONNRESET');
      expect(late.received()).toHaveLength(0);
    }
    winner.socket.write('still whole');
    await second.bytes(12);
    expect((await port.line('rejected')).reason).toBe('a token that is not expected');
    await port.close();
  });

  test('a token counts as a whole, however it is cut: one wrong byte anywhere, and its side is reset', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const cut = async (token: Buffer, at: number): Promise<Client> => {
      const side = client(port, 'IMR1', token.subarray(0, at));
      side.socket.setNoDelay(true);
      await connected(side.socket);
      // What is written before and after a turn of the event loop leaves in segments of their own.
      await new Promise(setImmediate);
      side.socket.write(token.subarray(at));
      return side;
    };
    await Promise.all(
      [...a.keys()].map(async (at) => {
        const wrong = Buffer.from(a);
        wrong[at] ^= 0x80;
        for (const where of new Set([1, at, at + 1, a.length - 1])) {
          const side = await cut(wrong, Math.min(where, a.length - 1));
          expect(await side.over).toBe('ECONNRESET');
          expect(side.received()).toHaveLength(0);
        }
      }),
    );
    const both = [await cut(a, 1), await cut(b, b.length - 1)];
    await Promise.all(both.map((side) => side.bytes(1)));
    await port.close();
  });

  test('tokens of different pairs do not match', async () => {
    const port = await begin({ pair: 200 });
    const [a] = (await port.tokens(1))!;
    const [, d] = (await port.tokens(2))!;
    const both = [client(port, 'IMR1', a), client(port, 'IMR1', d)];
    for (const side of both) expect(await side.over).toBe('ECONNRESET');
    for (const id of [1, 2]) expect(await port.line('unused', id)).toMatchObject({ arrived: 1 });
    await port.close();
  });

  test('tokens expire', async () => {
    const port = await begin({ pair: 50 });
    const [a] = (await port.tokens(1))!;
    expect(await port.line('unused', 1)).toMatchObject({ arrived: 0 });
    expect(await client(port, 'IMR1', a).over).toBe('ECONNRESET');
    await port.close();
  });

  test('tokens that are withdrawn: the side that has come is reset, and neither is good any more', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const first = await withToken(port, a);
    port.child.stdin!.write('withdraw 1\n');
    expect(await port.line('answer', 1)).toMatchObject({ ok: true });
    expect(await port.line('unused', 1)).toMatchObject({ arrived: 1 });
    expect(await first.over).toBe('ECONNRESET');
    expect(await client(port, 'IMR1', b).over).toBe('ECONNRESET');
    port.child.stdin!.write('withdraw 2\n');
    expect(await port.line('answer', 2)).toMatchObject({ ok: false });
    await port.close();
  });

  test('a side that leaves before the other one comes takes its tokens along', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const first = await withToken(port, a);
    first.socket.destroy();
    expect(await port.line('unused', 1)).toMatchObject({ arrived: 1 });
    expect(await client(port, 'IMR1', b).over).toBe('ECONNRESET');
    await port.close();
  });

  test.each([
    ['GET / HTTP/1.1\r\n\r\n', 'begins with something else than IMP1 or IMR1'],
    ['IMR2', 'begins with something else than IMP1 or IMR1'],
    ['\x16\x03\x01\x02\x00\x01', 'begins with something else than IMP1 or IMR1'],
  ])('garbage (%j) is reset', async (garbage, reason) => {
    const port = await begin();
    expect(await client(port, Buffer.from(garbage, 'latin1')).over).toBe('ECONNRESET');
    expect(await port.line('rejected')).toMatchObject({ count: 1, reason });
    await port.close();
  });

  test.each(['', 'IM', 'IMR1 and less than a token'])('one that says %j and no more is reset', async (begun) => {
    const port = await begin({ header: 100 });
    const slow = client(port, ...(begun ? [begun] : []));
    expect(await slow.over).toBe('ECONNRESET');
    expect((await port.line('rejected')).reason).toBe('did not say what it wants in time');
    await port.close();
  });

  test('one that says it byte by byte is served', async () => {
    const port = await begin();
    const [a, b] = (await port.tokens(1))!;
    const first = client(port);
    first.socket.setNoDelay(true);
    for (const byte of Buffer.concat([Buffer.from('IMR1'), a])) await write(first.socket, Buffer.from([byte]));
    const second = client(port, 'IMR1', b);
    await Promise.all([first.bytes(1), second.bytes(1)]);
    await port.close();
  });

  test('2,000 connections that say nothing: the oldest make room, others are served', async () => {
    const port = await begin();
    const idle = Array.from({ length: 2_000 }, () => client(port));
    const [first, second] = await pairOf(port, 1);
    first.socket.write('served');
    await second.bytes(7);
    await Promise.race(idle.map(({ over }) => over));
    // More at once than the port's queue holds: those that did not fit come again a second later, and must find it
    // open.
    await Promise.all(idle.map(({ socket, over }) => Promise.race([over, connected(socket)])));
    expect((await port.line('rejected')).reason).toBe('too many that have not said what they want');
    await port.close();
    for (const { over } of idle) expect(await over).toBe('ECONNRESET');
  });

  test('a relay that is full says so, and has room again when a pair ends', async () => {
    const port = await begin({ pairs: 2 });
    const [first] = await pairOf(port, 1);
    await pairOf(port, 2);
    expect(await port.tokens(3)).toBeUndefined();
    first.socket.resetAndDestroy();
    await port.line('ended', 1);
    await pairOf(port, 4);
    await port.close();
  });

  test('when it is closed all are reset; nobody takes it for an end in good order', async () => {
    const port = await begin();
    const [first, second] = await pairOf(port, 1);
    const [a] = (await port.tokens(2))!;
    const waiting = client(port, 'IMR1', a);
    const probe = client(port, 'IMP1');
    await probe.bytes(6);
    await port.close();
    for (const { over } of [first, second, waiting, probe]) expect(await over).toBe('ECONNRESET');
  });

  test('when it is killed too', async () => {
    const port = await begin();
    const both = await pairOf(port, 1);
    port.child.kill('SIGKILL');
    for (const { over } of both) expect(await over).toBe('ECONNRESET');
  });

  test('descriptors: two for each pair that is idle, none for one that has ended', async () => {
    const port = await begin();
    const descriptors = () => readdirSync(`/proc/${port.child.pid}/fd`).length;
    await pairOf(port, 0);
    const before = descriptors();
    const pairs: Array<[Client, Client]> = [];
    for (let id = 1; id <= 50; id++) {
      const pair = await pairOf(port, id);
      pair[0].socket.write('x');
      await pair[1].bytes(2);
      pairs.push(pair);
    }
    // At most the one spare pipe more that a busy moment leaves.
    expect(descriptors() - before).toBeLessThanOrEqual(2 * 50 + 2);
    for (const [first, second] of pairs) {
      first.socket.end();
      second.socket.end();
    }
    for (let id = 1; id <= 50; id++) expect(await port.line('ended', id)).toMatchObject({ bytes: [1, 0], error: 0 });
    expect(descriptors() - before).toBeLessThanOrEqual(2);
    await port.close();
  });
});

test('one address may not probe for ever', async () => {
  const port = await start([build('plain', '-O2')]);
  const script = `
import socket, sys
answered = refused = 0
for i in range(6000):
    with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as s:
        s.sendall(b'IMP1')
        try:
            if len(s.recv(6)) == 6: answered += 1
        except ConnectionResetError:
            refused += 1
            break
print(answered >= 4096, refused)
`;
  const { stdout } = spawnSync('/usr/bin/python3', ['-c', script, String(port.port)], { encoding: 'utf8' });
  expect(stdout).toBe('True 1\n');
  expect((await port.line('rejected')).reason).toBe('too many probes');
  // Relayed connections are not probes.
  await pairOf(port, 1);
  await port.close();
});
