/**
 * Supervisors that are killed under running guests, and the next ones in their run directories: real processes, a real
 * seed, real connections.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Invocation } from '../../../src/contract/platform/invocation';
import { signal } from '../../support/processes';
import { bootCluster, type Cluster } from '../seed/cluster';
import { layersFolder, openSandbox, type Sandbox } from './sandbox';

jest.setTimeout(60_000);

const FLAT = 96;
const python = '/usr/bin/python3';

/**
 * A guest that does what it is told over a connection to port 8080, one line of words at a time, and answers with one
 * line. Any number of connections at once.
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
beforeEach(() => {
  sandboxes = [];
  folders = [];
  lines = [];
});
afterEach(async () => {
  for (const line of lines) line.close();
  for (const folder of folders) signal(usersOf(folder), 'SIGKILL');
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
  /** Kills its supervisor. The next allocation starts another one in the same directory. */
  die(): Promise<void>;
  invocation(): Invocation;
}

/** A host whose guests outlive its supervisor, as on no platform that is supported. */
function host(name: string): Host {
  const runDir = mkdtempSync(join(tmpdir(), 'imaginary-dead-'));
  folders.push(runDir);
  let now: Sandbox | undefined;
  let invoked: Invocation;
  cluster.host(name, async (invocation) => {
    invoked = invocation;
    now ??= await openSandbox({ layers: layers.path, flat: FLAT, runDir });
    sandboxes.push(now);
    return now.invoke(invocation);
  });
  return {
    runDir,
    sandbox: async () => {
      await cluster.event(name, 'joined');
      return now!;
    },
    die: async () => {
      const last = now!;
      now = undefined;
      await last.die();
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

test('a supervisor dies: what stands goes on, what waits and what is new fails; the next one stops the guests and starts anew', async () => {
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
  await web.die();
  expect(await blocking).toBe('EHOSTUNREACH');
  expect(await pending).toBe('EHOSTUNREACH');

  // There is no supervisor.
  expect(await first.ask('connect', 'slow', 9000)).toBe('EHOSTUNREACH');
  expect(await second.ask('pending', 'slow', 9000)).toBe('EHOSTUNREACH');
  expect(await api.ask('say', 'web')).toBe('hello');
  expect(await first.ask('say', 'api')).toBe('hello');
  await cluster.backedOff('web');
  const anew = await lineTo(client, 'web');
  const sandbox = await web.sandbox();
  expect(await first.ask('pid')).toBe('closed');
  const { pids } = await sandbox.logged(({ message }) => message === 'guests of a supervisor that died were stopped');
  expect(pids).toBe(pid);
  expect(usersOf(web.runDir)).toEqual([Number(await anew.ask('pid'))]);
  expect(await api.ask('connect', 'web', 80)).toBe('ok');
  expect(await anew.ask('connect', 'api', 80)).toBe('ok');
  expect(await anew.ask('exit', 3)).toBe('closed');
  const { detail } = await cluster.event('web', 'exited');
  expect(detail.exitCode).toBe(3);
  expect(usersOf(web.runDir)).toEqual([]);
  expect(readdirSync(web.runDir)).toEqual([]);
});

test('guests of a dead supervisor are stopped whatever the sandbox is invoked for: a release, another host', async () => {
  const client = await boot([
    { name: 'web', command: agent },
    { name: 'api', command: agent },
  ]);
  const web = host('web');
  let line = await lineTo(client, 'web');
  await web.die();
  const releasing = await openSandbox({ layers: layers.path, flat: FLAT, runDir: web.runDir });
  sandboxes.push(releasing);
  expect(await releasing.invoke({ ...web.invocation(), action: 'release' })).toMatchObject({ outcome: 'released' });
  expect(await line.ask('pid')).toBe('closed');
  expect([usersOf(web.runDir), readdirSync(web.runDir)]).toEqual([[], []]);
  await releasing.die();

  await cluster.backedOff('web');
  line = await lineTo(client, 'web');
  await web.die();
  const other = await openSandbox({ layers: layers.path, flat: FLAT, runDir: web.runDir });
  sandboxes.push(other);
  cluster.host('api', (invocation) => other.invoke(invocation));
  const api = await lineTo(client, 'api');
  expect(await line.ask('pid')).toBe('closed');
  expect(usersOf(web.runDir)).toEqual([Number(await api.ask('pid'))]);
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
