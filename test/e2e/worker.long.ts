/** Hosts that only dial out: a worker that waits for jobs in a Redis. Nobody ever connects to the worker. */
import { bootCluster, type TestCluster } from '../support/cluster';
import { redisServer } from '../support/guests';

/** Does jobs: takes a word from the list `jobs`, and puts it back in capitals into the list `done`. */
const WORKER = `
import socket
def command(connection, *words):
    connection.sendall(('*%d\\r\\n' % len(words) + ''.join('$%d\\r\\n%s\\r\\n' % (len(w), w) for w in words)).encode())
redis = socket.create_connection(('redis', 6379))
lines = redis.makefile('rb')
def line(): return lines.readline().decode().strip()
print('working', flush=True)
while True:
    command(redis, 'BRPOP', 'jobs', '0')
    answer = [line() for _ in range(5)]
    command(redis, 'LPUSH', 'done', answer[4].upper())
    line()
`;

let cluster: TestCluster;
beforeAll(async () => {
  const quiet = { idleTimeout: 1_000, releasePolicy: 'no-traffic' } as const;
  cluster = await bootCluster([
    { name: 'redis', command: redisServer, ...quiet, releaseTimeout: 8_000 },
    {
      name: 'worker',
      command: ['/usr/bin/python3', '-u', '-c', WORKER],
      ...quiet,
      releaseTimeout: 8_000,
      startWith: ['redis'],
    },
    { name: 'nightly', command: ['/bin/sh', '-c', 'echo done by the clock'], wakeSchedule: 'cron(* * * * ? *)' },
    { name: 'crasher', command: ['/bin/sh', '-c', 'exit 3'], restartPolicy: 'on-failure', allocationTimeout: 2_000 },
  ]);
});
afterAll(() => cluster?.dispose());

const redis = async (...command: string[]) => {
  const run = await cluster.exec(['redis-cli', '-h', 'redis', ...command]);
  if (run.code !== 0) throw new Error(run.stderr);
  return run.stdout.trim();
};
const is =
  (host: string, event: string, after = 0) =>
  (e: { host: string | null; event: string; time: number }) =>
    e.host === host && e.event === event && e.time > after;

test('a worker starts with its Redis, sleeps with it, works on after it, and both are released', async () => {
  await redis('LPUSH', 'jobs', 'first');
  const { detail } = await cluster.waitFor(is('worker', 'allocating'));
  expect(detail).toMatchObject({ by: 'worker', port: null, why: "starts with 'redis'" });
  expect(await redis('BRPOP', 'done', '20')).toBe('done\nFIRST');

  const slept = await cluster.waitFor(is('redis', 'suspended'));
  await cluster.waitFor(is('worker', 'suspended', slept.time));

  await redis('LPUSH', 'jobs', 'second');
  expect(await redis('BRPOP', 'done', '20')).toBe('done\nSECOND');
  expect(await cluster.host('worker')).toMatchObject({ allocations: 1 });

  const again = await cluster.waitFor(is('redis', 'suspended', slept.time + 1_000));
  await cluster.waitFor(is('worker', 'released', again.time));
  await cluster.waitFor(is('redis', 'released', again.time));
});

test('orders of an operator: start, stop, wake, release', async () => {
  const order = async (...words: string[]) => {
    const { code, stdout } = await cluster.imaginary([...words, '--json']);
    const said = JSON.parse(stdout);
    return code === 0 ? said : said.error;
  };
  expect(await order('start', 'redis')).toEqual({ host: 'redis', state: 'running' });
  expect(await order('release', 'redis')).toMatchObject({ code: 'not-done' });
  const { time } = await cluster.waitFor(is('redis', 'suspended', Date.now() - 1_000));
  expect(await order('wake', 'redis')).toEqual({ host: 'redis', state: 'running' });
  await cluster.waitFor(is('redis', 'suspended', time));
  expect(await order('release', 'redis')).toEqual({ host: 'redis', state: 'imagined' });
  expect(await order('wake', 'redis')).toMatchObject({ code: 'not-done' });
  expect(await order('start', 'redis')).toEqual({ host: 'redis', state: 'running' });
  expect(await order('stop', 'redis')).toEqual({ host: 'redis', state: 'imagined' });
  expect(await order('start', 'nobody')).toMatchObject({ code: 'no-such-host' });
});

test('a guest that crashes is started again by its restart policy, with a back-off', async () => {
  const { stderr, code } = await cluster.imaginary(['start', 'crasher']);
  expect(code).toBe(1);
  expect(stderr).toContain('exited with code 3');
  const first = await cluster.waitFor(is('crasher', 'restarting'));
  const second = await cluster.waitFor(is('crasher', 'restarting', first.time));
  expect(Number(first.detail.delayMs)).toBeLessThanOrEqual(500);
  expect(Number(second.detail.delayMs)).toBeGreaterThan(500);
  expect((await cluster.imaginary(['stop', 'crasher'])).code).toBe(0);
});

test('a host that is woken by the clock does its work, without anybody connecting to it', async () => {
  const { detail, time } = await cluster.waitFor(is('nightly', 'allocating'), 65_000);
  expect(detail).toMatchObject({ by: 'nightly', why: "wakeSchedule 'cron(* * * * ? *)'" });
  expect(new Date(time).getUTCSeconds()).toBeLessThan(10);
  await cluster.waitFor(is('nightly', 'exited'));
  expect(await cluster.logs('nightly')).toContain('done by the clock');
}, 90_000);
