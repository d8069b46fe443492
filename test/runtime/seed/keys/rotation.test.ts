/** The cluster's keys change while it runs: real seed, real sessions, real TLS. */

import { joinSecret, keyId } from '../../../../src/contract/control/psk';
import {
  type ControlError,
  fetchStatus,
  openSession,
  readEvents,
  reloadKeys,
} from '../../../../src/runtime/control/index';
import { bootCluster, CLUSTER_KEY, type Cluster } from '../cluster';

const NEW = Buffer.from('another cluster key for tests');
let keys: readonly Uint8Array[];
let cluster: Cluster;

const boot = async () => {
  keys = [CLUSTER_KEY];
  cluster = await bootCluster([{ name: 'api' }, { name: 'web' }], { keys: async () => keys, lostAfter: 2_000 });
};
afterEach(() => cluster.close());

const withKey = (key: Uint8Array, identity: string) => ({
  seed: cluster.seed.address,
  identity,
  secret: joinSecret(key, 'test', identity),
});
/** Waits for an event, past or future, as an operator with the new key. */
async function happens(host: string, name: string): Promise<void> {
  for await (const { host: of, event } of readEvents({ ...withKey(NEW, 'operator'), follow: true })) {
    if (of === host && event === name) return;
  }
}
/** What becomes of a connection made with this key. */
const tryKey = (key: Uint8Array) =>
  fetchStatus(withKey(key, 'operator')).then(
    () => 'accepted',
    (error: ControlError) => error.code,
  );

test('the old key is accepted until it is taken away; a running host goes on under the new one', async () => {
  await boot();
  cluster.host('api', cluster.serves(80));
  const client = await cluster.client({ ...withKey(CLUSTER_KEY, 'client') });
  const { epoch } = (await client.locate('api', 80)).location;

  keys = [NEW, CLUSTER_KEY];
  expect(await reloadKeys(withKey(CLUSTER_KEY, 'operator'))).toEqual([keyId(NEW), keyId(CLUSTER_KEY)]);
  expect([await tryKey(CLUSTER_KEY), await tryKey(NEW)]).toEqual(['accepted', 'accepted']);
  // What is allocated from now on has a secret of the new key.
  cluster.host('web', cluster.serves(80));
  await client.locate('web', 80);
  expect(cluster.lambda.requests.map(({ invocation }) => invocation.secret.split('.')[0])).toEqual([
    keyId(CLUSTER_KEY),
    keyId(NEW),
  ]);

  keys = [NEW];
  const stopped = new Promise<string>((resolve) => {
    void openSession({
      ...withKey(CLUSTER_KEY, 'client'),
      join: () => ({ ports: [] }),
      onLocation: () => undefined,
      onStop: resolve,
    }).then(() => reloadKeys(withKey(NEW, 'operator')));
  });
  // A client that has nothing but the old key is out.
  expect(await stopped).toContain('did not accept the key');
  expect(await tryKey(CLUSTER_KEY)).toBe('rejected');
  // The host that was given a newer secret is back, as the same epoch; the other one never left.
  await happens('api', 'rejoined');
  const after = await cluster.client({ ...withKey(NEW, 'client') });
  expect((await after.locate('api', 80)).location.epoch).toBe(epoch);
  await after.locate('web', 80);
  expect(cluster.lambda.requests).toHaveLength(2);
  expect(cluster.events.filter(({ host, event }) => host === 'web' && event === 'disconnected')).toEqual([]);
});

test('who rejoins with an old secret while it is accepted is given a new one', async () => {
  await boot();
  const epoch = 7;
  const identity = `host/api/${epoch}`;
  const stops: string[] = [];
  const session = await openSession({
    ...withKey(CLUSTER_KEY, identity),
    join: () => ({ host: 'api', epoch, ports: [{ port: 80, realPort: 40_080, scope: 'any' }] }),
    onLocation: () => undefined,
    onStop: (reason) => stops.push(reason),
  });
  await cluster.event('api', 'joined');
  keys = [NEW, CLUSTER_KEY];
  await cluster.restartSeed({ keys: async () => keys });
  await happens('api', 'joined');
  keys = [NEW];
  await cluster.seed.reload();
  await happens('api', 'rejoined');
  expect(stops).toEqual([]);
  session.close();
});

test('a host whose key is taken away at once is stopped', async () => {
  await boot();
  const identity = 'host/api/7';
  const stopped = new Promise<string>((resolve) => {
    void openSession({
      ...withKey(CLUSTER_KEY, identity),
      join: () => ({ host: 'api', epoch: 7, ports: [] }),
      onLocation: () => undefined,
      onStop: resolve,
    });
  });
  await cluster.event('api', 'joined');
  keys = [NEW];
  await cluster.seed.reload();
  expect(await stopped).toContain('did not accept the key');
});

test('a client that reads its key anew for each connection survives', async () => {
  await boot();
  const stops: string[] = [];
  let welcomes = 0;
  let again: () => void = () => undefined;
  const back = new Promise<void>((resolve) => (again = resolve));
  const session = await openSession({
    seed: cluster.seed.address,
    identity: 'client',
    secret: () => joinSecret(keys[0], 'test', 'client'),
    join: () => ({ ports: [] }),
    onWelcome: () => ++welcomes === 2 && again(),
    onLocation: () => undefined,
    onStop: (reason) => stops.push(reason),
  });
  keys = [NEW];
  await cluster.seed.reload();
  await back;
  expect(stops).toEqual([]);
  session.close();
});

test('keys that cannot be read leave the seed with those that it has, and the operator with the reason', async () => {
  await boot();
  let broken = false;
  await cluster.restartSeed({
    keys: async () => {
      if (broken) throw new Error('the disk is gone');
      return [CLUSTER_KEY];
    },
  });
  broken = true;
  await expect(reloadKeys(withKey(CLUSTER_KEY, 'operator'))).rejects.toMatchObject({
    code: 'refused',
    message: 'the disk is gone',
  });
  expect(await tryKey(CLUSTER_KEY)).toBe('accepted');
});

test('only operators have keys read again', async () => {
  await boot();
  await expect(reloadKeys(withKey(CLUSTER_KEY, 'client'))).rejects.toMatchObject({ code: 'refused' });
});
