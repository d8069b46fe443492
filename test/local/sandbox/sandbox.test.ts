import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuTicks, processesOf, running, signal } from '../../support/processes';
import { type Booted, bootFunctions, plain } from '../boot';

let booted: Booted;
beforeAll(async () => {
  booted = await bootFunctions([
    plain(),
    plain({ name: 'other' }),
    plain({ name: 'still' }),
    plain({ name: 'two', reservedConcurrency: 2 }),
    plain({ name: 'small', memorySize: 128 }),
  ]);
}, 30_000);
afterAll(() => booted?.dispose());
const isolation = () => booted.platform.info.isolation;
/** Holds where the machine allows it; where it does not, the platform says so, and that is the test. */
const where = (holds: () => boolean, check: () => Promise<void>) => async () => {
  if (holds()) await check();
  else expect(isolation().missing).not.toEqual([]);
};

test(
  'the file system is read-only, except /tmp, which is its own',
  where(
    () => isolation().filesystem,
    async () => {
      for (const path of ['/x', '/usr/x', '/var/task/x', '/opt/x', '/var/x', '/etc/x', '/dev/x']) {
        expect([path, await booted.call({ do: 'write', path })]).toEqual([path, 'EROFS']);
      }
      expect(await booted.call({ do: 'write', path: '/tmp/x' })).toBe('ok');
      expect(await booted.call({ do: 'list', path: '/tmp' })).toEqual(['x']);
      expect(await booted.call({ do: 'list', path: '/tmp' }, 'other')).toEqual([]);
    },
  ),
);

test(
  'it sees the code, the layers, Lambda’s folders and the programs of the machine, and no home',
  where(
    () => isolation().filesystem,
    async () => {
      expect(await booted.call({ do: 'list', path: '/var/task' })).toContain('plain.js');
      expect(await booted.call({ do: 'list', path: '/opt' })).toEqual([]);
      expect(await booted.call({ do: 'list', path: '/var/runtime' })).toEqual(['bootstrap.js']);
      expect(await booted.call({ do: 'run', command: ['/bin/echo', 'hi'] })).toBe('hi\n');
      for (const path of ['/home', '/root', '/mnt', '/sys/fs']) {
        expect([path, await booted.call({ do: 'exists', path })]).toEqual([path, false]);
      }
    },
  ),
);

test(
  'Lambda’s user, with a name; no capabilities; no way to new ones',
  where(
    () => isolation().uid,
    async () => {
      expect(await booted.call({ do: 'who' })).toMatchObject({ uid: 993, gid: 990, cwd: '/var/task' });
      expect(await booted.call({ do: 'run', command: ['/usr/bin/id', '-un'] })).toBe('sbx_user1051\n');
      const status = await booted.call({ do: 'text', path: '/proc/self/status' });
      expect(status).toMatch(/CapEff:\s0+\n/);
      expect(status).toMatch(/CapBnd:\s0+\n/);
      expect(status).toMatch(/NoNewPrivs:\s1\n/);
      expect(await booted.call({ do: 'read', path: '/etc/shadow' })).toBe('EACCES');
    },
  ),
);

test(
  'no /dev/shm, and few devices',
  where(
    () => isolation().devShm,
    async () => {
      const devices = await booted.call({ do: 'list', path: '/dev' });
      expect(devices).toEqual(['fd', 'full', 'null', 'random', 'stderr', 'stdin', 'stdout', 'urandom', 'zero']);
    },
  ),
);

test(
  'its own processes only',
  where(
    () => isolation().pids,
    async () => {
      const pids = (await booted.call({ do: 'list', path: '/proc' })).filter((name: string) => /^\d+$/.test(name));
      expect(pids).toEqual(['1', '2']);
    },
  ),
);

test('nothing that is open here is open there', async () => {
  expect(await booted.call({ do: 'run', command: ['/bin/ls', '/proc/self/fd'] })).toBe('0\n1\n2\n3\n'); // 3: ls itself
});

test('1,024 descriptors', async () => {
  const { code: error, count } = await booted.call({ do: 'descriptors' });
  expect(error).toBe('EMFILE');
  expect(count).toBeGreaterThan(950);
  expect(count).toBeLessThan(1024);
});

test('no port below 1024', async () => {
  if (isolation().missing.some((line) => line.startsWith('ports from'))) return;
  expect(await booted.call({ do: 'bind', port: 80 })).toBe('EACCES');
  expect(await booted.call({ do: 'bind', port: 1023 })).toBe('EACCES');
  expect(await booted.call({ do: 'bind', port: 0 })).toBe('ok');
});

test('what Lambda’s kernel refuses: ptrace, seccomp, new namespaces, PR_SET_PDEATHSIG', async () => {
  const script = [
    'import ctypes, os, errno',
    'libc = ctypes.CDLL(None, use_errno=True)',
    'def code(r): return "ok" if r >= 0 else errno.errorcode[ctypes.get_errno()]',
    'print(code(libc.ptrace(0, 0, 0, 0)), code(libc.unshare(0x10000000)), code(libc.prctl(1, 9, 0, 0, 0)),',
    '  code(libc.prctl(22, 2, 0, 0, 0)), code(libc.prctl(15, b"name", 0, 0, 0)))',
  ].join('\n');
  expect(await booted.call({ do: 'run', command: ['/usr/bin/python3', '-c', script] })).toBe(
    'EPERM EPERM EPERM EPERM ok\n',
  );
});

test(
  'a function that uses more memory than it has is killed',
  where(
    () => isolation().memory,
    async () => {
      expect(await booted.call({ do: 'allocate', megabytes: 20 }, 'small')).toBe(20);
      expect(await booted.error({ do: 'allocate', megabytes: 300 }, 'small')).toMatchObject({
        errorType: 'Runtime.ExitError',
        errorMessage: expect.stringMatching(/signal: killed$/),
      });
    },
  ),
);

test('nothing moves between invocations, and all goes on with the next one', async () => {
  await booted.call({ do: 'tick' }, 'still');
  const rest = () => new Promise((resolve) => setTimeout(resolve, 300));
  const inside = processesOf('still');
  expect(inside.length).toBeGreaterThanOrEqual(2);
  const cpu = () => inside.map(cpuTicks).reduce((sum, ticks) => sum + ticks, 0);
  const before = cpu();
  await rest();
  expect(cpu()).toBe(before);
  const first = await booted.call({ do: 'ticks' }, 'still');
  await rest();
  const second = await booted.call({ do: 'wait', ms: 100 }, 'still').then(() => booted.call({ do: 'ticks' }, 'still'));
  expect(second.own).toBeGreaterThan(first.own + 10);
  // Had they run for those 300 ms, it would be more.
  expect(second.own).toBeLessThan(first.own + 250);
  expect(second.child).toBeGreaterThan(first.child);
});

test('what an invocation leaves running ends with the sandbox', async () => {
  await booted.call({ do: 'leave' }, 'other');
  expect(running('/bin/sleep 3600')).toHaveLength(1);
  await booted.error({ do: 'exit', code: 1 }, 'other');
  expect(running('/bin/sleep 3600')).toHaveLength(0);
});

test('a sandbox that is killed while it is frozen is replaced', async () => {
  const { started } = await booted.call({ do: 'wait', ms: 1 }, 'two');
  signal(processesOf('two'), 'SIGKILL');
  // A process that a cgroup of version 1 holds dies when it thaws: then this invocation sees it.
  await booted.call({ do: 'wait', ms: 1 }, 'two').catch(() => undefined);
  expect((await booted.call({ do: 'wait', ms: 1 }, 'two')).started).not.toBe(started);
});

test('a code folder that is closed to others, with links in it, and the state directory in it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-closed-'));
  chmodSync(folder, 0o700);
  writeFileSync(join(folder, 'real.js'), 'exports.handler = async () => require("fs").readdirSync("/var/task").sort()');
  symlinkSync('real.js', join(folder, 'index.js'));
  mkdirSync(join(folder, 'state'));
  const stateDir = join(folder, 'state');
  const other = await bootFunctions([plain({ code: folder, handler: 'index.handler' })], { stateDir });
  try {
    if (isolation().filesystem) expect(await other.call({})).toEqual(['index.js', 'real.js']);
  } finally {
    await other.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
});
