/** The example of a ZooKeeper: its leader's sandbox is lost, nobody orders anything, and the quorum is whole again. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loseSandbox } from '../../eval/lib/lose-sandbox';
import { NODES, ZooKeeperLoad } from '../../eval/lib/zookeeper-load';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { finish } from '../support/cluster';

const CLI = resolve(__dirname, '../../assets/cli/imaginary.js');
const EXAMPLE = resolve(__dirname, '../../examples/zookeeper');
const state = mkdtempSync(join(tmpdir(), 'imaginary-zookeeper-'));
const start = (command: string, ...rest: string[]) =>
  spawn(process.execPath, [CLI, command, '--state', state, ...rest], {
    cwd: EXAMPLE,
    env: { ...process.env, NO_COLOR: '1' },
  });
const imaginary = (command: string, ...rest: string[]) => finish(start(command, ...rest), command, { timeout: 60_000 });
let load: ZooKeeperLoad | undefined;
afterAll(async () => {
  load?.end();
  await imaginary('down');
  rmSync(state, { recursive: true, force: true });
});

test('connects imagine the node that is lost', async () => {
  expect(await imaginary('up')).toMatchObject({ code: 0 });
  load = new ZooKeeperLoad(start('exec', '--', 'python3', 'load.py', ...NODES.map((name) => `${name}=${name}:2181`)));
  const usual = await load.steady();
  const leader = await load.leader();
  const [since, killed] = [Date.now(), performance.now()];
  loseSandbox(state, 'zookeeper', leader);

  const follower = start('events', '--follow', '--json');
  let allocated: ClusterEvent | undefined;
  const timer = setTimeout(() => follower.kill(), 60_000);
  let rest = '';
  for await (const data of follower.stdout) {
    const lines = `${rest}${data}`.split('\n');
    rest = lines.pop()!;
    const events = lines.map((line): ClusterEvent => JSON.parse(line));
    const mine = events.filter((e) => e.host === leader && Date.parse(String(e.time)) >= since);
    allocated ??= mine.find((e) => e.event === 'allocating');
    if (mine.some((e) => e.event === 'listening' && e.detail.port === 2181)) break;
  }
  clearTimeout(timer);
  follower.kill();
  // By a node or by a client: nobody has ordered it.
  expect(allocated?.detail).toMatchObject({ port: expect.any(Number) });
  expect(allocated?.detail).not.toHaveProperty('why');
  expect(await load.recovered(killed, usual)).toBeGreaterThan(0);
}, 180_000);
