import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';

const python = '/usr/bin/python3';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster([
    {
      name: 'redis',
      command: ['/usr/bin/redis-server', '--bind', '0.0.0.0', '--dir', '/tmp', '--save', '', '--protected-mode', 'no'],
      idleTimeout: 1_000,
      releaseTimeout: 6_000,
      releasePolicy: 'no-connections',
    },
    { name: 'steady', command: [python, '-m', 'http.server', '80'], idleTimeout: 100, releasePolicy: 'never' },
  ]);
});
afterAll(() => cluster?.dispose());

const redis = async (...command: string[]) => {
  const run = await cluster.exec(['redis-cli', '-h', 'redis', ...command]);
  if (run.code !== 0) throw new Error(run.stderr);
  return run.stdout.trim();
};
const is =
  (event: string, after = 0) =>
  (e: { host: string | null; event: string; time: number }) =>
    e.host === 'redis' && e.event === event && e.time > after;

test('a host that is never idle runs on', async () => {
  expect((await cluster.exec(['curl', '-sS', 'http://steady/'])).code).toBe(0);
});

test('idle: suspended with its memory; woken by a connect; idle again: released; then a new epoch', async () => {
  expect(await redis('SET', 'color', 'green')).toBe('OK');
  const first = await cluster.host('redis');
  expect(first).toMatchObject({ state: 'running', allocations: 1, ports: [6379] });

  const suspended = await cluster.waitFor(is('suspended'));
  expect(await redis('GET', 'color')).toBe('green');
  await cluster.waitFor(is('resumed', suspended.time));
  expect(await cluster.host('redis')).toMatchObject({ epoch: first.epoch });

  await cluster.waitFor(is('released', suspended.time));
  expect(await cluster.host('redis')).toMatchObject({ state: 'imagined' });
  expect(await redis('GET', 'color')).toBe('');
  const second = await cluster.host('redis');
  expect(second).toMatchObject({ state: 'running', allocations: 2 });
  expect(second.epoch).toBeGreaterThan(first.epoch!);
});

test('an open connection holds a host; the suspension comes after it closes', async () => {
  const held = cluster.start(['redis-cli', '-h', 'redis', 'BLPOP', 'nothing', '3']);
  const ended = new Promise<number>((done) => held.on('close', () => done(Date.now())));
  await cluster.waitFor((e) => e.event === 'connected' && e.host === 'redis');
  const why = async () => (await cluster.imaginary(['ps', '--why'])).stdout;
  await eventually(async () => (await why()).includes('redis is held by a connection'));
  expect(await why()).toMatch(/^redis +\S+ +running .* connections +6379$/m);
  expect(await why()).toMatch(
    /^redis is held by a connection (from \S+ to port 6379|with \S+, port \d+), of process \d+ \(redis-server\)$/m,
  );
  const closed = await ended;
  const suspended = await cluster.waitFor(is('suspended', closed - 2_500));
  expect(suspended.time).toBeGreaterThan(closed);
});

test('a host that is never idle has been up all the time', async () => {
  expect(await cluster.host('steady')).toMatchObject({ state: 'running', allocations: 1 });
  const events = (await cluster.events()).filter(({ host }) => host === 'steady').map(({ event }) => event);
  expect(events).not.toContain('suspending');
});
