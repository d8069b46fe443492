/**
 * Duplicate events: Lambda delivers an asynchronous invocation twice, now and then, and perhaps late. The platform does so
 * each time here: two sandboxes get it at the same time, while the host runs, sleeps, or has ended.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { hostIdentity, joinSecret, parseClusterKeys } from '../../../src/contract/control/psk';
import type { Invocation } from '../../../src/contract/platform/invocation';
import { readPlatform } from '../../../src/local';
import { client } from '../../local/boot';
import { untilAsleep } from '../../support/asleep';
import { attempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { guestFiles, python } from '../../support/guests';
import { openLine } from '../../support/line';
import { mentioning } from '../../support/processes';

/** In the command line of each guest. */
const MARK = `guest-of-${process.pid}`;

let cluster: TestCluster;
beforeAll(async () => {
  const command = [python, 'who.py', '7000', MARK];
  cluster = await bootCluster([{ name: 'who', command, idleTimeout: 3_000 }], {
    name: 'twice',
    files: guestFiles('who.py', 'hold.py'),
    upArguments: ['--duplicate-events'],
  });
});
afterAll(() => cluster?.dispose());

const log = () => readFileSync(join(cluster.state, 'logs', 'who.log'), 'utf8');
const epochNow = async () => (await cluster.host('who')).epoch!;

/** Sends the invocation that started an epoch once more, and waits until both deliveries have ended. */
async function again(epoch: number): Promise<void> {
  const { lambda, keyFile, seed } = readPlatform(cluster.state)!;
  const [key] = parseClusterKeys(readFileSync(keyFile, 'utf8'));
  const secret = joinSecret(key, 'twice', hostIdentity('who', epoch));
  const invocation: Invocation = { version: 1, cluster: 'twice', host: 'who', epoch, action: 'run', seed, secret };
  const sdk = client(lambda);
  try {
    const { $metadata, StatusCode } = await sdk.send(
      new InvokeCommand({
        FunctionName: 'twice-who',
        InvocationType: 'Event',
        Payload: Buffer.from(JSON.stringify(invocation)),
      }),
    );
    expect(StatusCode).toBe(202);
    const ends = () => log().split(`END RequestId: ${$metadata.requestId}`).length - 1;
    await eventually(() => ends() === 2, 30_000);
  } finally {
    sdk.destroy();
  }
}

test('while the host runs: both are fenced; its guest, its epoch and its connections stay', async () => {
  const { say, end } = await openLine(cluster, 'who', '7000');
  const who = await say('who');
  const guests = mentioning(MARK);
  const epoch = await epochNow();
  await again(epoch);
  expect(mentioning(MARK)).toEqual(guests);
  expect(await say('who')).toBe(who);
  expect(await cluster.host('who')).toMatchObject({ state: 'running', allocations: 1, epoch });
  // Operators find it in the log: no event, as nothing has happened to the host.
  expect(log().match(/"outcome":"fenced"/g)).toHaveLength(2);
  await end();
});

test('while it sleeps: one wakes it, with its memory; the other one is fenced; it sleeps again', async () => {
  await untilAsleep(cluster, 'who');
  const [guests, epoch] = [mentioning(MARK), await epochNow()];
  await again(epoch);
  expect(mentioning(MARK)).toEqual(guests);
  expect(await cluster.host('who')).toMatchObject({ state: 'suspended', epoch, allocations: 1 });
  const { say, end } = await openLine(cluster, 'who', '7000');
  expect(await say('who')).toMatch(/^\d+ 2$/);
  await end();
});

test('after its end: no guest is started, and the next connect allocates the host', async () => {
  const epoch = await epochNow();
  expect((await cluster.imaginary(['stop', 'who'])).code).toBe(0);
  await again(epoch);
  expect(mentioning(MARK)).toEqual([]);
  expect(await cluster.host('who')).toMatchObject({ state: 'imagined', allocations: 1 });
  expect(await attempt(cluster, 'who')).toMatchObject({ outcome: 'ok' });
  expect(await epochNow()).toBeGreaterThan(epoch);
  expect(await cluster.host('who')).toMatchObject({ allocations: 2 });
});
