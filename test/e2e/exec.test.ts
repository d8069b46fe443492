/**
 * What a command under `imaginary exec` may not do to the machine, and what is left of it when `imaginary` is killed.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';

const python = '/usr/bin/python3';
const root = process.getuid?.() === 0;

const running = (isSo: (line: string) => boolean) =>
  readdirSync('/proc').filter((pid) => {
    try {
      return isSo(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      return false; // no process, or it has ended
    }
  });
const sleeping = (seconds: number) => running((line) => line === `sleep\0${seconds}\0`);
const folders = () => readdirSync(tmpdir()).filter((name) => /^imaginary-.*-exec-/.test(name));
describe.each(['flat', 'auto'])('network: %s', (network) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster([{ name: 'a', command: ['sleep', '60'] }], { upArguments: ['--network', network] });
  });
  afterAll(() => cluster?.dispose());

  (root ? test : test.skip)('names that it sets are its own: the machine keeps its names', async () => {
    const machine = [hostname(), readFileSync('/proc/sys/kernel/domainname', 'utf8')];
    const script = [
      'import ctypes, os, platform, socket, subprocess',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'def names(): return [socket.gethostname(), os.uname().nodename,',
      '  subprocess.check_output(["uname", "-n"], text=True).strip()]',
      'before = socket.gethostname()',
      'print(*names())',
      'socket.sethostname("renamed"); print(*names())',
      'number = 170 if platform.machine() == "x86_64" else 161',
      'print(libc.syscall(ctypes.c_long(number), b"by-number", 9)); print(*names())',
      'print(libc.setdomainname(b"domain", 6), libc.syscall(ctypes.c_long(171 if number == 170 else 162), b"domain", 6))',
      'socket.sethostname(before); print(*names())',
    ].join('\n');
    const { stdout, stderr } = await cluster.exec([python, '-c', script]);
    expect(stderr).toBe('');
    const [first, renamed, , byNumber, , last] = stdout.trim().split('\n');
    expect(first).toMatch(/^(client-\S+)( \1){2}$/);
    expect([renamed, byNumber]).toEqual(['renamed', 'by-number'].map((name) => Array(3).fill(name).join(' ')));
    expect(last).toBe(first);
    expect([hostname(), readFileSync('/proc/sys/kernel/domainname', 'utf8')]).toEqual(machine);
    // The command of another `exec` has names of its own.
    expect((await cluster.exec(['hostname'])).stdout).toMatch(/^client-/);
    expect((await cluster.exec(['hostname'], { as: 'a' })).stdout).toBe('a\n');
  });

  test('killed: its command ends with it, and down ends the rest', async () => {
    const [own, started] = network === 'flat' ? [3_801, 3_802] : [3_803, 3_804];
    const before = folders();
    // The shell becomes the first one; the second one is nobody's child then.
    const script = `setsid sleep ${started} & echo ready; exec sleep ${own}`;
    const child = cluster.start(['sh', '-c', script]);
    await once(createInterface({ input: child.stdout! }), 'line');
    await eventually(() => sleeping(own).length === 1 && sleeping(started).length === 1);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    await eventually(() => sleeping(own).length === 0);
    // On network `nat` there is a process more of `imaginary`. It leaves the folder, too, which tells `down` of the
    // rest.
    await eventually(() => running((line) => line.includes(`exec sleep ${own}`)).length === 0);
    expect(sleeping(started)).toHaveLength(1);
    expect(folders()).toHaveLength(before.length + 1);
    // Another one that goes on is not touched by `down`.
    const other = cluster.start(['sh', '-c', 'echo ready; exec cat']);
    await once(createInterface({ input: other.stdout! }), 'line');
    try {
      expect((await cluster.down()).code).toBe(0);
      // What has been killed is in /proc until the kernel is done with it.
      await eventually(() => sleeping(started).length === 0);
      expect(other.exitCode).toBe(null);
    } finally {
      other.stdin!.end();
      await once(other, 'close');
    }
    expect(folders()).toEqual(before);
    expect((await cluster.up()).code).toBe(0);
  });
});
