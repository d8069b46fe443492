/** An instance's place in the cluster, at a real seed: what becomes of it when the seed ends its session. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Membership } from '../../../../src/runtime/supervisor/instance/membership';
import { eventually } from '../../../support/eventually';
import { bootCluster, CLUSTER_KEY, type Cluster } from '../../seed/cluster';

let cluster: Cluster;
let membership: Membership | undefined;
let way: Way | undefined;
afterEach(async () => {
  membership?.close();
  way?.close();
  way = undefined;
  await cluster?.close();
});

/** A way to the seed that can be closed. */
interface Way {
  readonly seed: string;
  cut(on: boolean): void;
  close(): void;
}

async function wayTo(seed: string): Promise<Way> {
  const [host, port] = seed.split(':');
  const sockets = new Set<Socket>();
  let isCut = false;
  const server: Server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = connect(Number(port), host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => (socket === near ? far : near).destroy());
    }
    near.pipe(far).pipe(near);
  });
  const cut = (on: boolean) => {
    isCut = on;
    if (on) for (const socket of sockets) socket.destroy();
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    seed: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    close: () => {
      cut(true);
      server.close();
    },
  };
}

const VM = { name: 'vm', kind: 'instance' } as const;

async function join(life = 'a', clusterKey = async (): Promise<Uint8Array> => CLUSTER_KEY) {
  way ??= await wayTo(cluster.seed.address);
  const ends: Array<[string, boolean]> = [];
  const made = new Membership({
    name: 'vm',
    seed: way.seed,
    clusterKey,
    life,
    host: () => undefined,
    onEnd: (...end) => ends.push(end),
    log: () => undefined,
    signal: new AbortController().signal,
  });
  membership = made;
  const { welcome } = await made.join();
  return { made, ends, epoch: welcome.self.epoch };
}

test('an epoch that the seed has given up: it joins as the next one', async () => {
  cluster = await bootCluster([VM], { lostAfter: 100 });
  const { ends, epoch } = await join();
  way!.cut(true);
  await cluster.event('vm', 'released');
  way!.cut(false);
  const { detail } = await cluster.event('vm', 'joined', (e) => Number(e.detail.epoch) > epoch);
  expect(detail.adopted).toBe(true);
  expect(ends).toEqual([]);
});

test('another one that has joined meanwhile is the host: the membership ends, and says where that one is', async () => {
  cluster = await bootCluster([VM], { lostAfter: 60_000 });
  const { ends, epoch } = await join();
  way!.cut(true);
  await cluster.event('vm', 'disconnected');
  const other = await cluster.client({ join: () => ({ host: 'vm', life: 'b', ports: [] }) });
  way!.cut(false);
  await ended(ends);
  const newer = other.welcome.self.epoch;
  expect(ends).toEqual([
    [
      `epoch ${epoch} of 'vm' has ended; 'vm' has joined already: from 127.0.0.1, as epoch ${newer}; end that one first`,
      true,
    ],
  ]);
});

test('a key that was replaced is read again; one that was not ends the membership', async () => {
  const next = Buffer.from('the next cluster key for tests');
  let keys: readonly Uint8Array[] = [CLUSTER_KEY];
  cluster = await bootCluster([VM], { keys: async () => keys, lostAfter: 60_000 });
  let known = CLUSTER_KEY;
  const { ends, epoch } = await join('a', async () => known);
  known = next;
  keys = [next];
  await cluster.seed.reload();
  // The test's own reader of events has the old key.
  await eventually(() => cluster.logs.some((line) => line.includes('rejoined') && line.includes(String(epoch))));
  expect(ends).toEqual([]);
  keys = [Buffer.from('a key that nobody is told of')];
  await cluster.seed.reload();
  await ended(ends);
  expect(ends).toEqual([[expect.stringContaining("did not accept the key of 'client'"), false]]);
});

test('a key that cannot be read', async () => {
  cluster = await bootCluster([VM]);
  const failing = join('a', () => Promise.reject(new Error('no such file')));
  await expect(failing).rejects.toThrow('no such file');
});

const ended = (ends: readonly unknown[]) => eventually(() => ends.length > 0);
