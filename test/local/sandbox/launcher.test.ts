import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { launcherFile } from '../../../src/local/paths';
import { running } from '../../support/processes';

const root = process.getuid?.() === 0;
/** Runs it to its end; events, output and exit code. */
const run = async (
  args: readonly string[],
  options: { uid?: number; after?: (send: (text: string) => void) => void } = {},
) => {
  const child = spawn(launcherFile(), ['--control', '3', ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    ...(options.uid ? { uid: options.uid, gid: options.uid } : {}),
  });
  const control = child.stdio[3] as Socket;
  const events: any[] = [];
  let output = '';
  child.stdout!.on('data', (text) => (output += text));
  child.stderr!.on('data', (text) => (output += text));
  createInterface({ input: control }).on('line', (line) => {
    events.push(JSON.parse(line));
    if (events.length === 1) options.after?.((text) => control.write(`${text}\n`));
  });
  const exitCode = await new Promise((resolve) => child.on('close', resolve));
  return { events, output, exitCode };
};

test('passes the exit code and the signal of the command on', async () => {
  expect(await run(['--', '/bin/sh', '-c', 'echo out; exit 7'])).toMatchObject({
    output: 'out\n',
    exitCode: 7,
    events: [{ event: 'started' }, { event: 'exit', code: 7, signal: null }],
  });
  const { events } = await run(['--mode', 'bare', '--', '/bin/sh', '-c', 'kill -SEGV $$']);
  expect(events[1]).toMatchObject({ event: 'exit', code: null, signal: 11 });
});

test('says which command could not be started, and why', async () => {
  const { events, exitCode } = await run(['--', '/no/such/program']);
  expect(events).toMatchObject([{ event: 'failed', reason: '/no/such/program: No such file or directory' }]);
  expect(exitCode).toBe(125);
  expect(
    (await run(['--bind-ro', '/no/such/folder', '/opt', '--mode', 'user', '--', '/bin/true'])).events[0].event,
  ).toBe('failed');
  expect((await run(['--nonsense', '--', '/bin/true'])).exitCode).toBe(2);
});

test('kills on command, and with everything that it started', async () => {
  const script = 'sleep 3601 & setsid sleep 3602 & wait';
  for (const mode of ['auto', 'bare']) {
    const { events } = await run(['--mode', mode, '--', '/bin/sh', '-c', script], { after: (send) => send('kill') });
    expect(events[1]).toMatchObject({ event: 'exit', signal: 9 });
    expect([...running('sleep 3601'), ...running('sleep 3602')]).toEqual([]);
  }
});

test('runs bare where everything is refused, and says why', async () => {
  // Inside of another one: its filter refuses namespaces, further filters and PR_SET_PDEATHSIG.
  const inner = [launcherFile(), '--control', '3', '--', '/bin/sh', '-c', 'echo inside; setsid sleep 3604 & exit 5'];
  const script = `
    const { spawn } = require('node:child_process');
    const [file, ...args] = ${JSON.stringify(inner)};
    const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
    child.stdio[3].pipe(process.stdout);
  `;
  const { output } = await run(['--mode', 'bare', '--', process.execPath, '-e', script]);
  expect(output).toContain('inside\n');
  const events = output.split('\n').filter((line) => line.startsWith('{'));
  const [started, ended] = events.map((line) => JSON.parse(line));
  expect(started).toMatchObject({ mode: 'bare', isolation: { filesystem: false, freeze: 'sigstop' } });
  expect(started.missing.join('\n')).toMatch(/namespaces of a user: clone: Operation not permitted/);
  expect(ended).toEqual({ event: 'exit', code: 5, signal: null });
  expect(running('sleep 3604')).toEqual([]);
});

(root ? test : test.skip)('isolates a user without privileges as well, in a user namespace', async () => {
  const tmp = mkdtempSync(join(tmpdir(), 'imaginary-user-'));
  chmodSync(tmp, 0o777);
  const { events, output } = await run(['--', '/bin/sh', '-c', 'id -u; touch /x; ls /dev/shm; echo $$'], {
    uid: 65_534,
  });
  rmSync(tmp, { recursive: true });
  if (events[0].mode === 'bare') return expect(events[0].missing.join()).toMatch(/namespaces of a user/);
  expect(events[0]).toMatchObject({ mode: 'user', isolation: { filesystem: true, uid: true, pids: true } });
  // Two pipes: what comes of both is in no order.
  for (const part of [/^993$/m, /Read-only file system\n/, /\/dev\/shm.*\n/, /^2$/m]) expect(output).toMatch(part);
});

(root ? test : test.skip)('freezes by cgroup version 2 too', async () => {
  const mount = execFileSync('/bin/sh', ['-c', 'awk \'$3 == "cgroup2" { print $2; exit }\' /proc/mounts'])
    .toString()
    .trim();
  if (!mount) return;
  const group = join(mount, `imaginary-test-${process.pid}`);
  const { events } = await run(['--cgroup', group, '--freezer', 'v2', group, '--', '/bin/sleep', '3603'], {
    after: (send) => ['freeze', 'thaw', 'freeze', 'kill'].forEach(send),
  });
  expect(events).toMatchObject([
    { event: 'started', isolation: { freeze: 'v2' } },
    { event: 'frozen', ok: true },
    { event: 'thawed', ok: true },
    { event: 'frozen', ok: true },
    { event: 'exit', signal: 9 },
  ]);
  expect(existsSync(group)).toBe(false);
});
