/** Supervisors that are killed under running guests, and those that take over: real processes, a real seed, real connections. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Invocation, InvocationResult } from '../../../src/contract/platform/invocation';
import { bootCluster, type Cluster } from '../seed/cluster';
import { family, layersFolder, openSandbox, type Sandbox } from './sandbox';

jest.setTimeout(60_000);

const FLAT = 96;
const python = '/usr/bin/python3';

/**
 * A guest that does what it is told over a connection to port 8080, one line of words at a time, and answers with one line.
 * Any number of connections at once.
 */
const AGENT = `
import errno, os, select, socket, sys, threading
opened = {}
def listen(port):
    l = socket.create_server(('0.0.0.0', port))
    threading.Thread(target=serve, args=(l,)).start()
def serve(l):
    while True: threading.Thread(target=talk, args=(l.accept()[0],)).start()
def answer(words):
    what, args = words[0], words[1:]
    try:
        if what == 'pid': return str(os.getpid())
        if what == 'hello': return 'hello'
        if what == 'listen': listen(int(args[0])); return 'listening'
        if what == 'print': print(' '.join(args), flush=True); return 'printed'
        if what == 'fill':
            for i in range(int(args[0])): print('line %d of some length, so that pipes are full one day' % i)
            sys.stdout.flush(); return 'filled'
        if what == 'exit': os._exit(int(args[0]))
        if what == 'open': opened[args[0]] = socket.create_connection((args[0], int(args[1]))); return 'ok'
        if what == 'say': opened[args[0]].sendall(b'hello\\n'); return opened[args[0]].recv(100).decode().strip()
        if what == 'connect': socket.create_connection((args[0], int(args[1]))).close(); return 'ok'
        if what == 'pending':
            s = socket.socket(); s.setblocking(False)
            got = s.connect_ex((args[0], int(args[1])))
            if got != errno.EINPROGRESS: return 'at once: ' + errno.errorcode.get(got, str(got))
            select.select([], [s], [])
            got = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            s.close()
            return errno.errorcode[got] if got else 'ok'
    except OSError as error: return errno.errorcode[error.errno]
    return 'what?'
def talk(s):
    for line in s.makefile(): s.sendall((answer(line.split()) + '\\n').encode())
print('serving', flush=True)
listen(80)
listen(8080)
`;
const agent = [python, '-c', AGENT];

let layers: ReturnType<typeof layersFolder>;
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());

let cluster: Cluster;
let sandboxes: Sandbox[];
let folders: string[];
let lines: Line[];
let closing: boolean;
beforeEach(() => {
  sandboxes = [];
  folders = [];
  lines = [];
  closing = false;
});
afterEach(async () => {
  closing = true;
  for (const line of lines) line.close();
  for (const folder of folders) for (const pid of usersOf(folder)) process.kill(pid, 'SIGKILL');
  for (const sandbox of sandboxes) sandbox.close();
  await cluster.close();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** Guests that have the table of that run directory mapped. */
function usersOf(runDir: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && !sandboxes.some((sandbox) => sandbox.pid === pid))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/maps`, 'latin1').includes(` ${runDir}/table`);
      } catch {
        return false;
      }
    });
}

interface Line {
  ask(...words: Array<string | number>): Promise<string>;
  close(): void;
}

/** A connection to an agent. */
async function openLine(address: string, port: number): Promise<Line> {
  const socket: Socket = connect(port, address);
  await new Promise((done, fail) => socket.once('connect', done).once('error', fail));
  socket.on('error', () => undefined);
  const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  const line: Line = {
    ask: async (...words) => {
      socket.write(`${words.join(' ')}\n`);
      return (await answers.next()).value ?? 'closed';
    },
    close: () => socket.destroy(),
  };
  lines.push(line);
  return line;
}

interface Host {
  readonly runDir: string;
  /** The sandbox that runs it now. */
  sandbox(): Promise<Sandbox>;
  /** Kills its supervisor. */
  die(): Promise<void>;
  /** Starts the next one; resolves when it has joined. */
  rise(): Promise<Sandbox>;
  invocation(): Invocation;
}

/** A host whose supervisor can be killed and started again within one and the same invocation. */
function host(name: string): Host {
  const runDir = mkdtempSync(join(tmpdir(), 'imaginary-adoption-'));
  folders.push(runDir);
  let now: Sandbox | undefined;
  let invoked: Invocation;
  let rise = () => {};
  let risen = Promise.resolve();
  let started: (sandbox: Sandbox) => void = () => undefined;
  const open = async () => {
    now = await openSandbox({ layers: layers.path, flat: FLAT, runDir });
    sandboxes.push(now);
    started(now);
    return now;
  };
  cluster.host(name, async (invocation) => {
    invoked = invocation;
    for (;;) {
      try {
        return await (now ?? (await open())).invoke(invocation);
      } catch (error) {
        if (closing || (error as Error).name !== 'Runtime.ExitError') throw error;
        now = undefined;
        await risen;
      }
    }
  });
  return {
    runDir,
    sandbox: async () => {
      await cluster.event(name, 'joined');
      return now!;
    },
    die: async () => {
      risen = new Promise((resolve) => (rise = resolve));
      await now!.die();
      now = undefined;
    },
    rise: async () => {
      const rejoined = cluster.events.filter((e) => e.host === name && e.event === 'guest-adopted').length;
      const next = new Promise<Sandbox>((resolve) => (started = resolve));
      rise();
      const sandbox = await next;
      let seen = 0;
      await cluster.event(name, 'guest-adopted', () => seen++ >= rejoined);
      return sandbox;
    },
    invocation: () => invoked,
  };
}

async function boot(hosts: Parameters<typeof bootCluster>[0]) {
  cluster = await bootCluster(
    hosts.map((entry) => ({ workingDirectory: '/', ...entry })),
    { flat: FLAT },
  );
  return cluster.client();
}

async function lineTo(client: Awaited<ReturnType<Cluster['client']>>, name: string, port = 8080): Promise<Line> {
  const { location, realPort } = await client.locate(name, port);
  return openLine(location.address!, realPort);
}

test('a supervisor dies: what stands goes on, what waits and what is new fails, and all of it works under the next one', async () => {
  const client = await boot([
    { name: 'web', command: agent },
    { name: 'api', command: agent },
    { name: 'slow', command: ['never'] },
    { name: 'late', command: ['never'] },
  ]);
  const web = host('web');
  host('api');
  const waits = cluster.serves();
  for (const name of ['slow', 'late']) cluster.host(name, waits);
  const first = await lineTo(client, 'web');
  const second = await lineTo(client, 'web');
  const api = await lineTo(client, 'api');
  const pid = await first.ask('pid');
  expect(await api.ask('open', 'web', 80)).toBe('ok');
  expect(await first.ask('open', 'api', 8080)).toBe('ok');

  const blocking = first.ask('connect', 'slow', 9000);
  const pending = second.ask('pending', 'late', 9000);
  await Promise.all([cluster.event('slow', 'allocating'), cluster.event('late', 'allocating')]);
  const table = statSync(join(web.runDir, 'table')).ino;
  await web.die();
  expect(await blocking).toBe('EHOSTUNREACH');
  expect(await pending).toBe('EHOSTUNREACH');

  // Nobody is there.
  expect(await first.ask('connect', 'slow', 9000)).toBe('EHOSTUNREACH');
  expect(await second.ask('pending', 'slow', 9000)).toBe('EHOSTUNREACH');
  expect(await api.ask('say', 'web')).toBe('hello');
  expect(await first.ask('say', 'api')).toBe('hello');
  expect(await first.ask('print', 'nobody', 'hears', 'me')).toBe('printed');
  expect(await first.ask('listen', 81)).toBe('listening');
  expect(await first.ask('listen', 9090)).toBe('listening');

  const sandbox = await web.rise();
  expect(await second.ask('pending', 'api', 8080)).toBe('ok');
  expect(statSync(join(web.runDir, 'table')).ino).toBe(table);
  await sandbox.logged(({ line, stream }) => line === 'nobody hears me' && stream === 'stdout');
  expect(await api.ask('say', 'web')).toBe('hello');
  expect(await first.ask('say', 'api')).toBe('hello');
  for (const port of [80, 81, 8080, 9090]) expect(await api.ask('connect', 'web', port)).toBe('ok');
  expect(await first.ask('connect', 'api', 80)).toBe('ok');
  expect(await first.ask('connect', 'localhost', 81)).toBe('ok');
  expect(await first.ask('listen', 82)).toBe('listening');
  expect(await api.ask('connect', 'web', 82)).toBe('ok');
  expect(await (await lineTo(client, 'web', 82)).ask('pid')).toBe(pid);

  expect(await first.ask('exit', 3)).toBe('closed');
  const { detail } = await cluster.event('web', 'exited');
  expect(detail.exitCode).toBeNull();
  expect(usersOf(web.runDir)).toEqual([]);
  expect(readdirSync(web.runDir)).toEqual([]);
});

test('killed five times in a row, with more to say than a pipe holds; then idle, and released', async () => {
  const client = await boot([{ name: 'web', command: agent, idleTimeout: 300, releaseTimeout: 500 }]);
  const web = host('web');
  const line = await lineTo(client, 'web');
  const pid = Number(await line.ask('pid'));
  for (let i = 0; i < 5; i++) {
    await web.die();
    const filled = line.ask('fill', 5_000);
    const sandbox = await web.rise();
    expect(await filled).toBe('filled');
    await sandbox.logged((l) => l.line?.startsWith('line 4999 ') === true);
    expect(sandbox.output().filter((text) => text.startsWith('line '))).toHaveLength(5_000);
    expect(await line.ask('hello')).toBe('hello');
    expect(family(pid)).toEqual([pid]);
  }
  line.close();
  const suspended = await cluster.event('web', 'suspended');
  expect(suspended.detail.epoch).toBe(web.invocation().epoch);
  await cluster.event('web', 'released');
  expect(usersOf(web.runDir)).toEqual([]);
});

test('two supervisors on one directory: the second one is refused, and says who has it', async () => {
  const client = await boot([{ name: 'web', command: agent }]);
  const web = host('web');
  const line = await lineTo(client, 'web');
  const { pid } = await web.sandbox();
  const other = await openSandbox({ layers: layers.path, flat: FLAT, runDir: web.runDir });
  sandboxes.push(other);
  await expect(other.invoke(web.invocation())).rejects.toMatchObject({
    code: 'RUN_DIR_BUSY',
    message: `the run directory ${web.runDir} belongs to the supervisor with process number ${pid}, which is alive`,
  });
  expect(await line.ask('connect', 'web', 80)).toBe('ok');
});

test('guests of another host, or of a newer incarnation, are not adopted', async () => {
  const client = await boot([
    { name: 'web', command: agent },
    { name: 'api', command: agent },
  ]);
  const web = host('web');
  const line = await lineTo(client, 'web');
  const pid = await line.ask('pid');
  await web.die();
  const next = await openSandbox({ layers: layers.path, flat: FLAT, runDir: web.runDir });
  sandboxes.push(next);
  const older = { ...web.invocation(), epoch: web.invocation().epoch - 1 };
  expect(await next.invoke(older)).toMatchObject({ outcome: 'fenced' });
  expect(await line.ask('pid')).toBe(pid);

  let left: Promise<InvocationResult> | undefined;
  cluster.host('api', (invocation) => (left = next.invoke(invocation)));
  const api = await lineTo(client, 'api');
  expect(await line.ask('pid')).toBe('closed');
  expect(await api.ask('hello')).toBe('hello');
  expect(usersOf(web.runDir)).toEqual([Number(await api.ask('pid'))]);
  expect(await api.ask('exit', 0)).toBe('closed');
  expect(await left).toMatchObject({ outcome: 'exited', exitCode: 0 });
});
