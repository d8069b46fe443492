/** The machine of an instance that vanishes without a word: no packet says that its connections have ended. */
import { join } from 'node:path';
import { redisServer } from '../support/guests';
import { type Instance, Instances, is } from '../support/instances';
import { networkOf } from '../support/network';
import { signal } from '../support/processes';

/** What docs/instances.md says, in milliseconds: without a sign of life; then without its connection. */
const NOTICED = 15_000;
const LOST = 10_000;
/** Signs of life are looked for so often. */
const HEARTBEAT = 5_000;
const SLOW = 2_000;

let instances: Instances;
/** What stands still. */
let machine: number[] = [];
beforeAll(async () => {
  instances = await Instances.boot('instance-vanished', ['--network', 'nat']);
});
afterAll(async () => {
  signal(machine, 'SIGCONT');
  await instances?.end();
  await instances?.cluster.dispose();
});

const redis = (name: string): Instance =>
  instances.start('--name', 'late', '--run-dir', join(instances.cluster.folder, name), '--', ...redisServer);
const ping = async () => (await instances.cluster.exec(['redis-cli', '-h', 'late', 'PING'])).stdout;

test('is noticed in time; connects to it fail as to one that never joined; another machine takes its place', async () => {
  const { cluster } = instances;
  const { faults } = networkOf(cluster.state);
  const first = redis('first');
  await cluster.waitFor(is('late', 'listening'));
  expect(await ping()).toBe('PONG\n');
  const { epoch } = await cluster.host('late');

  // The machine stands still, and nothing gets to it.
  await faults.cut(true, 'late');
  machine = instances.processes(join(cluster.folder, 'first'));
  expect(machine.length).toBeGreaterThan(0);
  signal(machine, 'SIGSTOP');
  const vanished = Date.now();
  const refused = await redis('early').result;
  expect(refused.stderr).toMatch(new RegExp(`'late' has joined already: from [0-9.]+, as epoch ${epoch}`));

  const disconnected = await cluster.waitFor(is('late', 'disconnected'), NOTICED + HEARTBEAT + SLOW);
  expect(disconnected.detail.reason).toMatch(/no sign of life/);
  expect(disconnected.time - vanished).toBeLessThan(NOTICED + HEARTBEAT + SLOW);
  const released = await cluster.waitFor(is('late', 'released'), LOST + SLOW);
  expect(released.detail).toMatchObject({ epoch, note: 'its supervisor has not been heard of for 10000 ms' });
  expect(released.time - disconnected.time).toBeLessThan(LOST + SLOW);
  const { code, stdout } = await cluster.imaginary(['ps']);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^late +\S+ +imagined /m)]);

  const { stderr } = await instances.ask('late', '6379');
  expect(stderr).toContain('TimeoutError');
  const { detail } = await cluster.waitFor(is('late', 'refused'));
  expect(detail).toMatchObject({
    errno: 'ETIMEDOUT',
    reason: "'late' is a host instance that has not joined; waited 500 ms for port 6379",
  });

  redis('second');
  await cluster.waitFor((e) => is('late', 'joined')(e) && e.detail.epoch !== epoch);
  const place = await cluster.host('late');
  expect(place.epoch).toBeGreaterThan(epoch!);
  await cluster.waitFor((e) => is('late', 'listening')(e) && e.detail.epoch === place.epoch);
  expect(await ping()).toBe('PONG\n');

  // The first one is back, and its place is taken: its guest is ended in order.
  signal(machine, 'SIGCONT');
  await faults.cut(false, 'late');
  const back = await first.result;
  expect(back.stderr).toContain("'late' has joined already: from");
  expect(back.stdout).toContain('Received SIGTERM scheduling shutdown');
  expect(await cluster.host('late')).toMatchObject({ epoch: place.epoch, state: 'running' });
  expect(await ping()).toBe('PONG\n');
});
