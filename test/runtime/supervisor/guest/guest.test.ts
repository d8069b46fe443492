import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SANDBOX_ALIASES } from '../../../../src/contract/abi/table';
import { loadNative } from '../../../../src/native/addon/load';
import { type Guest, startGuest } from '../../../../src/runtime/supervisor/guest/guest';
import { ProgramError } from '../../../../src/runtime/supervisor/guest/program';
import { openRunDir, type RunDir } from '../../../../src/runtime/supervisor/run/run-dir';
import { openLocations } from '../../../../src/runtime/supervisor/sockets/locations';

jest.setTimeout(30_000);

let runDir: string;
let directory: RunDir;
let lines: Array<{ stream: string; line: string }>;
let watchers: Set<() => void>;
let guests: Guest[];
beforeEach(async () => {
  runDir = mkdtempSync(join(tmpdir(), 'imaginary-guest-'));
  directory = await openRunDir(runDir, loadNative());
  const self = { name: 'web', address: '100.64.0.9', nodeId: 0 };
  const entry = { ...self, aliases: [] };
  openLocations(
    { cluster: 'test', cidr: '100.64.0.0/16', self, directory: [entry], aliases: SANDBOX_ALIASES },
    { map: directory.mapTable },
  );
  lines = [];
  watchers = new Set();
  guests = [];
});
afterEach(async () => {
  for (const guest of guests) await guest.stop(0);
  rmSync(runDir, { recursive: true });
});

function start(command: readonly string[], environment = {}, workingDirectory = '/'): Guest {
  const guest = startGuest({
    host: { name: 'web', command, environment, workingDirectory, remappedFiles: { '/no/such/place': '/usr/bin' } },
    runDir: directory,
    native: loadNative(),
    node: { IMAGINARY_NODE_ID: '3' },
    environment: { PATH: '/usr/bin:/bin', AWS_SECRET_ACCESS_KEY: 'secret' },
    write: (text) => {
      for (const line of text.split('\n').filter(Boolean)) lines.push(JSON.parse(line));
      for (const watcher of watchers) watcher();
    },
  });
  guests.push(guest);
  return guest;
}
const shell = (script: string) => start(['sh', '-c', script]);
/** Resolves when the guest has written that line. */
const said = (wanted: string) =>
  new Promise<void>((resolve) => {
    const look = () => {
      if (!lines.some(({ line }) => line === wanted)) return;
      watchers.delete(look);
      resolve();
    };
    watchers.add(look);
    look();
  });
const output = (stream: string) => lines.filter((l) => l.stream === stream).map((l) => l.line);
const isAlive = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1][0] !== 'Z';
  } catch {
    return false;
  }
};

test('output of both streams, all of it, also through /dev/stdout; then the exit code', async () => {
  const guest = shell('echo to stdout; echo to stderr >&2; echo reopened > /dev/stdout; printf unfinished; exit 3');
  expect(await guest.exited).toEqual({ exitCode: 3, signal: null });
  expect(output('stdout')).toEqual(['to stdout', 'reopened', 'unfinished']);
  expect(output('stderr')).toEqual(['to stderr']);
});

test('much output is not lost', async () => {
  const guest = shell('seq 1 50000');
  await guest.exited;
  expect(output('stdout')).toHaveLength(50_000);
  expect(output('stdout').at(-1)).toBe('50000');
});

test('a signal that ends the guest is told', async () => {
  expect(await shell('kill -9 $$').exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
});

test('environment, working directory and arguments are the host’s own', async () => {
  const guest = start(['sh', '-c', 'pwd; env; echo $0 $1', 'zero', 'a b'], { COLOR: 'green' }, '/usr');
  await guest.exited;
  const all = output('stdout');
  expect(all[0]).toBe('/usr');
  expect(all.at(-1)).toBe('zero a b');
  expect(all).toContain('COLOR=green');
  expect(all).toContain(`IMAGINARY_DIR=${runDir}`);
  expect(all.some((line) => line.startsWith('LD_PRELOAD='))).toBe(true);
  expect(all.filter((line) => /AWS_|LAMBDA/.test(line))).toEqual([]);
});

test('what cannot be started says so before anything runs', () => {
  expect(() => start(['/usr/bin/no-such-program'])).toThrow(ProgramError);
  expect(() => start(['sh'], {}, '/no/such/folder')).toThrow('/no/such/folder: there is no such working directory');
});

test('stop: SIGTERM lets a guest end by itself', async () => {
  const guest = shell('trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
  await said('ready');
  await guest.stop(2_000);
  expect(output('stdout')).toEqual(['ready', 'bye']);
  expect(await guest.exited).toEqual({ exitCode: 0, signal: null });
});

test('stop: SIGKILL reaches what ignores SIGTERM, and what has left the session and its parent', async () => {
  const guest = shell(
    [
      'trap "" TERM',
      // A daemon as daemons are made: a new session, its parent gone.
      '(setsid sh -c \'trap "" TERM; echo daemon $$; exec sleep 300\' &)',
      'sleep 300 & echo child $!',
      'wait',
    ].join('\n'),
  );
  while (output('stdout').length < 2) {
    await new Promise<void>((resolve) => {
      watchers.clear();
      watchers.add(resolve);
    });
  }
  const pids = output('stdout').map((line) => Number(line.split(' ')[1]));
  expect(pids.map(isAlive)).toEqual([true, true]);
  expect(guest.processes.list().map((p) => p.pid)).toEqual(expect.arrayContaining([guest.pid, ...pids]));
  const start = performance.now();
  await guest.stop(200);
  expect(performance.now() - start).toBeGreaterThan(190);
  expect(pids.map(isAlive)).toEqual([false, false]);
  expect(guest.processes.list()).toEqual([]);
});

test('a program and a directory may be remapped', async () => {
  const guest = start(['/no/such/place/pwd', '-P'], {}, '/no/such/place');
  expect(await guest.exited).toEqual({ exitCode: 0, signal: null });
  expect(output('stdout')).toEqual(['/usr/bin']);
});

test('a first process that ends well leaves a daemon: the guest has ended when the daemon has', async () => {
  const guest = shell('setsid sh -c "sleep 0.7; echo done" & exit 0');
  expect(await guest.exited).toEqual({ exitCode: 0, signal: null });
  expect(output('stdout')).toEqual(['done']);
});

test('a first process that fails takes the others with it', async () => {
  const guest = shell('sleep 300 & echo $!; exit 1');
  expect(await guest.exited).toEqual({ exitCode: 1, signal: null });
  expect(isAlive(Number(output('stdout')[0]))).toBe(false);
});

test('nothing of a guest that has ended stays open here', async () => {
  const descriptors = () => readdirSync('/proc/self/fd').length;
  await shell('true').exited;
  const before = descriptors();
  for (let i = 0; i < 10; i++) await shell('echo x').exited;
  expect(descriptors()).toBeLessThanOrEqual(before);
});
