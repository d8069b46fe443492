import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, prepareCluster, type TestCluster, type TestHost } from '../support/cluster';

const python = '/usr/bin/python3';
const echo = readFileSync(join(__dirname, 'guests', 'echo.py'), 'utf8');
const hosts: TestHost[] = [
  { name: 'absent', command: ['/usr/bin/no-such-program', '--flag'] },
  { name: 'exits', command: [python, '-c', 'import sys; print("giving up"); sys.exit(3)'] },
  { name: 'mute', command: [python, '-c', 'import time; time.sleep(3600)'], allocationTimeout: 2_000 },
  { name: 'echo', command: [python, 'echo.py', '7000'] },
  { name: 'slow', command: [python, 'echo.py', '7000', '2'] },
  { name: 'slow-too', command: [python, 'echo.py', '7000', '2'] },
];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(hosts, { files: { 'echo.py': echo } });
});
afterAll(() => cluster?.dispose());

/** Connects once and prints `ok` or the errno's name, and how long it took in seconds. */
async function connect(host: string, port = 7000) {
  const script = [
    'import errno, socket, sys, time',
    's, start = socket.socket(), time.monotonic()',
    'code = s.connect_ex((sys.argv[1], int(sys.argv[2])))',
    'print(errno.errorcode.get(code, "ok"), time.monotonic() - start)',
  ].join('\n');
  const run = await cluster.exec([python, '-c', script, host, String(port)]);
  expect(run.stderr).toBe('');
  const [outcome, seconds] = run.stdout.trim().split(' ');
  return { outcome, seconds: Number(seconds) };
}
const eventsOf = async (host: string) => (await cluster.events()).filter((e) => e.host === host);

test('a missing guest binary: ECONNREFUSED; events and logs name the file and the host', async () => {
  expect(await connect('absent')).toMatchObject({ outcome: 'ECONNREFUSED' });
  const told = JSON.stringify(await eventsOf('absent'));
  expect(told).toContain('/usr/bin/no-such-program');
  const log = await cluster.logs('absent');
  expect(log).toContain('/usr/bin/no-such-program');
  expect(log).toContain('absent');
});

test('a guest that exits at once: ECONNREFUSED; its output and exit code are told', async () => {
  expect(await connect('exits')).toMatchObject({ outcome: 'ECONNREFUSED' });
  expect(await cluster.logs('exits')).toContain('giving up');
  const exited = (await eventsOf('exits')).find((e) => e.detail.exitCode === 3);
  expect(exited).toBeDefined();
});

test('a guest that never listens: ETIMEDOUT at the allocation deadline', async () => {
  const { outcome, seconds } = await connect('mute');
  expect(outcome).toBe('ETIMEDOUT');
  expect(seconds).toBeGreaterThan(1.9);
  expect(seconds).toBeLessThan(6);
});

test('a port that a settled host does not listen on: ECONNREFUSED', async () => {
  expect(await connect('echo')).toMatchObject({ outcome: 'ok' });
  expect(await connect('echo', 7999)).toMatchObject({ outcome: 'ECONNREFUSED' });
});

test('a seed killed and restarted during an allocation: the connect still goes through, one epoch', async () => {
  const connecting = connect('slow');
  await cluster.waitFor((e) => e.host === 'slow' && e.event === 'guest-started');
  process.kill(seedPid(), 'SIGKILL');
  expect(await connecting).toMatchObject({ outcome: 'ok' });
  expect(guestsOf('slow')).toBe(1);
});

test('a seed killed as soon as the function is invoked', async () => {
  const connecting = connect('slow-too');
  await cluster.waitFor((e) => e.host === 'slow-too' && e.event === 'invoked');
  process.kill(seedPid(), 'SIGKILL');
  expect(await connecting).toMatchObject({ outcome: 'ok' });
});

test('a second up on the same state directory, and on the same port, is refused and harms nothing', async () => {
  const again = await cluster.up();
  expect(again.code).not.toBe(0);
  expect(again.stderr).toMatch(/already (up|running)/);
  expect(again.stderr).toMatch(/imaginary down/);
  expect(await connect('echo')).toMatchObject({ outcome: 'ok' });
});

test('down leaves nothing running', async () => {
  const other = await bootCluster([{ name: 'echo', command: [python, 'echo.py', '7000'] }], {
    files: { 'echo.py': echo },
  });
  try {
    await other.exec([python, '-c', "import socket; socket.create_connection(('echo', 7000))"]);
    expect(processesNaming(other.folder).length).toBeGreaterThan(0);
    expect(await other.down()).toMatchObject({ code: 0 });
    expect(processesNaming(other.folder)).toEqual([]);
    expect(await other.down()).toMatchObject({ code: 0 });
  } finally {
    await other.dispose();
  }
});

const root = process.getuid?.() === 0;
(root ? test : test.skip)(
  'a full disk in the state directory: one error that names it, nothing left running',
  async () => {
    const full = prepareCluster([{ name: 'echo', command: [python, 'echo.py', '7000'] }]);
    mkdirSync(full.state);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', full.state]);
    try {
      try {
        writeFileSync(join(full.state, 'ballast'), Buffer.alloc(64 * 1024));
      } catch {
        // full now
      }
      const up = await full.up();
      expect(up.code).not.toBe(0);
      expect(up.stderr).toMatch(/ENOSPC|no space left/i);
      expect(up.stderr).toContain(full.state);
      expect(processesNaming(full.folder)).toEqual([]);
    } finally {
      execFileSync('umount', ['-l', full.state]);
      rmSync(full.folder, { recursive: true, force: true });
    }
  },
);

function seedPid(): number {
  const [pid] = processesNaming(cluster.folder, 'seed.js');
  if (!pid) throw new Error('no seed runs');
  return pid;
}

/** Processes of which the command line names `folder` (and `also`). */
function processesNaming(folder: string, also = ''): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const line = commandLine(pid);
      return line.includes(folder) && line.includes(also);
    });
}

function guestsOf(host: string): number {
  const command = hosts.find((h) => h.name === host)!.command!.join('\0');
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(Number(pid)).startsWith(command)).length;
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
