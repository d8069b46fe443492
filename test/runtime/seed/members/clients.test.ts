/** Clients come back under their name and address, or those that watch them hear that they are gone. */
import type { Session } from '../../../../src/runtime/control/index';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster } from '../cluster';

jest.setTimeout(30_000);

const LOST_AFTER = 300;

let cluster: Cluster;
afterEach(() => cluster.close());

interface Watcher {
  readonly gone: string[];
  /** The first client that it hears is gone. */
  readonly heard: Promise<string>;
}

/** @param clients what it watches, as often as it joins */
async function watcher(...clients: readonly string[]): Promise<Watcher> {
  const gone: string[] = [];
  let hear: (client: string) => void = () => undefined;
  const heard = new Promise<string>((resolve) => (hear = resolve));
  const onClientGone = (client: string) => {
    gone.push(client);
    hear(client);
  };
  let session: Session | undefined;
  const watch = () => {
    for (const client of clients) session?.watch(client, 0);
  };
  session = await cluster.client({ onClientGone, onWelcome: watch, join: () => ({ host: 'one', ports: [] }) });
  watch();
  return { gone, heard };
}

const boot = () => bootCluster([{ name: 'api' }]);

test('a connection on which nothing gets through is made anew: the address stays, and open locates are answered', async () => {
  cluster = await boot();
  cluster.host('api', cluster.serves(80));
  let welcomes = 0;
  const client = await cluster.client({
    onWelcome: () => {
      welcomes += 1;
    },
  });
  const { address } = client.welcome.self;
  const located = client.locate('api', 80);
  client.reconnect('it acknowledges nothing');
  expect((await located).location.host).toBe('api');
  expect([welcomes, client.welcome.self.address]).toEqual([2, address]);
});

test('a client that does not come back: those that watch it hear of it; one that does is watched on', async () => {
  cluster = await bootCluster([{ name: 'one', kind: 'instance' }], { lostAfter: LOST_AFTER });
  const [leaves, stays] = [await cluster.client(), await cluster.client()];
  const { gone, heard } = await watcher('client-0', 'client-1', 'one (client)', 'nobody', 'client-99999999');
  stays.reconnect('it acknowledges nothing');
  leaves.close();
  expect(['client-0', 'one (client)']).toContain(await heard);
  await stays.leave({ outcome: 'released' });
  await eventually(() => gone.includes('client-1'));
  expect([...gone].sort()).toEqual(['client-0', 'client-1', 'one (client)']);
});

test('a restarted seed is told again what is watched, and says what has not come back', async () => {
  cluster = await bootCluster([{ name: 'one', kind: 'instance' }], { lostAfter: LOST_AFTER });
  const first = await cluster.client();
  const { heard } = await watcher('client-0');
  first.close();
  await cluster.restartSeed();
  expect(await heard).toBe('client-0');
});
