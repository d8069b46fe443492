/** `imaginary forward`, where connections are direct or relayed, or the cluster is elsewhere. Punched: forward.test.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { commandInside, type LentSlot, readPlatform, takeSlot } from '../../src/local';
import { bootCluster, EACH_TRANSPORT, finish, type TestCluster } from '../support/cluster';
import { forwardCases } from '../support/forward-cases';
import { redisServer } from '../support/guests';
import { networkOf } from '../support/network';

const CLI = resolve(__dirname, '../../assets/cli/imaginary.js');

describe.each(EACH_TRANSPORT.filter(([network]) => network !== 'nat'))('network: %s', forwardCases);

/** On a machine behind a NAT that knows of the cluster what a user of one on AWS does: the seed, the name and the key. */
describe('with --seed', () => {
  let cluster: TestCluster;
  let slot: LentSlot;
  let seed: string;
  let key: string;
  const running: ChildProcess[] = [];
  const inside = (...command: string[]) => {
    const [file, ...args] = commandInside(slot, command);
    const child = spawn(file, args, { stdio: 'pipe', cwd: '/' });
    running.push(child);
    return child;
  };
  const forward = (...args: string[]) => inside(process.execPath, CLI, 'forward', ...args);
  beforeAll(async () => {
    cluster = await bootCluster([{ name: 'redis', command: [...redisServer] }], { upArguments: ['--network', 'nat'] });
    const platform = readPlatform(cluster.state)!;
    seed = platform.seed;
    key = platform.keyFile;
    slot = await takeSlot(networkOf(cluster.state).info);
  });
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL');
    slot?.leave();
    await cluster?.dispose();
  });

  test('redis-cli reaches the host', async () => {
    const child = forward('--seed', seed, '--key', key, 'redis:6379');
    const [line] = await once(child.stdout!, 'data');
    expect(String(line)).toBe('127.0.0.1:6379 -> redis:6379\n');
    expect(await finish(inside('redis-cli', 'SET', 'a', 'b'), 'redis-cli')).toMatchObject({ code: 0, stdout: 'OK\n' });
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    expect(await ended).toEqual([143, null]);
  });

  test.each([
    ['a wrong key', [], /the key|refused|not accepted|rejected/i, 'Does --key belong'],
    ['no such host', ['--key', '', 'nobody:1'], /has no host 'nobody'/, 'manifest'],
    ['no seed', ['--seed', '198.18.255.1:9410', '--key', ''], /within 15000 ms/, 'Is it the address'],
  ])('%s: refused', async (what, given, message, next) => {
    const wrong = join(cluster.folder, 'wrong');
    writeFileSync(wrong, 'this-is-another-key-of-a-cluster');
    const args = given.map((arg) => (arg === '' ? key : arg));
    const all = [
      ...(what === 'a wrong key' ? ['--key', wrong] : []),
      ...(args.includes('--seed') ? [] : ['--seed', seed]),
    ];
    const { code, stderr } = await finish(forward(...all, ...args, '0:redis:6379'), what);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(stderr).toContain(next);
  });
});
