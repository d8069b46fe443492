/**
 * An established connection costs a guest nothing: between its two marks a program makes the same system calls natively
 * and in the cluster, one by one. Nothing can be traced inside a sandbox, so the traced programs are commands of
 * `imaginary exec`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { bootCluster, finish, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';
const guest = (name: string) => join(__dirname, 'guests', name);
const redis = (bind: string) => ['/usr/bin/redis-server', '--bind', bind, '--save', '', '--protected-mode', 'no'];

/** Where the servers are natively; the cluster's hosts are at other addresses. */
const NATIVE = '127.0.0.1';

let cluster: TestCluster;
const natives: ChildProcess[] = [];
beforeAll(async () => {
  cluster = await bootCluster(
    [
      { name: 'echo', command: [python, 'echo.py', '7000'] },
      { name: 'redis', command: [...redis('0.0.0.0'), '--dir', '/tmp'] },
    ],
    { files: { 'echo.py': readFileSync(guest('echo.py'), 'utf8') } },
  );
  for (const [program, ...args] of [[python, guest('echo.py'), '7000', '0', NATIVE], redis(NATIVE)])
    natives.push(spawn(program, args, { stdio: 'ignore' }));
  await Promise.all([reachable(7000), reachable(6379)]);
});
afterAll(async () => {
  for (const child of natives) child.kill();
  await cluster?.dispose();
});

/** Asks until somebody listens there. */
async function reachable(port: number): Promise<void> {
  const once = () =>
    new Promise<boolean>((done) => {
      const socket = connect(port, NATIVE);
      socket.on('connect', () => done(true)).on('error', () => done(false));
      socket.on('connect', () => socket.destroy());
    });
  while (!(await once()));
}

const strace = (output: string, ...options: string[]) => ['/usr/bin/strace', '-f', '-o', output, ...options];

async function native(command: readonly string[]): Promise<void> {
  const result = await finish(spawn(command[0], command.slice(1), { stdio: 'pipe' }), command.join(' '));
  if (result.code !== 0) throw new Error(result.stderr);
}

async function inCluster(command: readonly string[]): Promise<void> {
  const result = await cluster.exec(command);
  if (result.code !== 0) throw new Error(result.stderr);
}

/** What each process called, in order of their first call; a call that another one interrupts is put together again. */
function callsOf(file: string): string[][] {
  const processes = new Map<string, string[]>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, pid, text] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (!pid || /^(---|\+\+\+)/.test(text)) continue;
    const calls = processes.get(pid) ?? [];
    processes.set(pid, calls);
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    if (resumed) calls[calls.length - 1] += resumed[1];
    else calls.push(text.replace(/ *<unfinished \.\.\.>$/, ''));
  }
  return [...processes.values()].map((calls) => calls.map(comparable));
}

/**
 * Without spaces, as calls that were put together have others; without the process's own pointers and sizes of buffers.
 */
const comparable = (call: string) =>
  call
    .replace(/\s/g, '')
    .replace(/0x[0-9a-f]+|u64=\d+/g, '…')
    .replace(/\[\d+=>0\]/, '[…=>0]');

/** Memory is the interpreter's own business. */
const MEMORY = /^(brk|mmap|munmap|madvise|mremap)\(/;

function betweenMarks(calls: readonly string[]): string[] {
  const [begin, end] = ['begin', 'end'].map((mark) => calls.findIndex((call) => call.includes(`/exchange-${mark}"`)));
  if (begin < 0 || end < begin) throw new Error(`no marks in ${calls.length} calls`);
  // The mark is a path, and no path of the interpreter's is on the stack: the kernel is asked about it first.
  const last = /^rt_sigprocmask\(…/.test(calls[end - 1]) ? end - 1 : end;
  return calls.slice(begin + 1, last).filter((call) => !MEMORY.test(call));
}

const tally = (calls: readonly string[]) => {
  const counts: Record<string, number> = {};
  for (const call of calls) {
    const name = call.slice(0, call.indexOf('('));
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

/** A client's calls, or those of a server and of its client: each call with its arguments and its result. */
test.each([
  { role: 'client', at: 'echo', port: '7000', processes: 1 },
  { role: 'both', at: NATIVE, port: '7100', processes: 2 },
])('every way to send, to receive and to wait: $role', async ({ role, at, port, processes }) => {
  const [one, other] = ['native', 'cluster'].map((side) => join(cluster.folder, `${role}-${side}.strace`));
  await native([...strace(one, '-s', '100'), python, guest('exchange.py'), role, NATIVE, port]);
  await inCluster([...strace(other, '-s', '100'), python, guest('exchange.py'), role, at, port]);
  const [theirs, ours] = [one, other].map((file) => callsOf(file).map(betweenMarks));
  expect(theirs).toHaveLength(processes);
  expect(ours.map(tally)).toEqual(theirs.map(tally));
  expect(ours).toEqual(theirs);
  expect(Math.min(...ours.map((calls) => calls.length))).toBeGreaterThan(100);
});

/**
 * From the first byte on; strace says of a descriptor whose connection stands which one it is, and that a handed-off
 * one began as IPv6.
 */
function onConnections(calls: readonly string[]): string[] {
  const first = new Map<string, number>();
  const descriptorOf = (call: string) => /^\w+\((\d+<TCP(?:v6)?:\[\S*->\S*\]>)/.exec(call)?.[1];
  return calls.filter((call, at) => {
    const descriptor = descriptorOf(call);
    if (!descriptor) return false;
    if (/^(sendto|write)\(/.test(call) && !first.has(descriptor)) first.set(descriptor, at);
    return first.has(descriptor);
  });
}

test('redis-benchmark: as many calls of each name on its connections', async () => {
  await inCluster(['redis-cli', '-h', 'redis', 'PING']);
  const [one, other] = ['native', 'cluster'].map((side) => join(cluster.folder, `redis-${side}.strace`));
  const bench = (host: string) => ['redis-benchmark', '-h', host, '-c', '1', '-n', '500', '-t', 'set,get,lpush'];
  await native([...strace(one, '-yy'), ...bench(NATIVE)]);
  await inCluster([...strace(other, '-yy'), ...bench('redis')]);
  // Timers come between, on no connection.
  const [theirs, ours] = [one, other].map((file) =>
    callsOf(file)
      .map(onConnections)
      .filter((calls) => calls.length > 0),
  );
  expect(ours.map(tally)).toEqual(theirs.map(tally));
  expect(ours.flat().length).toBeGreaterThanOrEqual(3000);
});
