import { connect as tlsConnect } from 'node:tls';
import { encodeFrame } from '../../../../src/contract/control/frame-codec';
import type { FromSeed } from '../../../../src/contract/control/from-seed';
import { unpackDirectory } from '../../../../src/contract/control/packed-directory';
import { hostIdentity } from '../../../../src/contract/control/psk';
import type { ToSeed } from '../../../../src/contract/control/to-seed';
import { type Control, fetchStatus, openControl, readEvents } from '../../../../src/runtime/control/index';
import { pskOptions } from '../../../../src/runtime/control/tls-options';
import { bootCluster, type Cluster, failure, type Supervisor } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

/** One bare connection: sends frames, collects what comes back until the seed closes it or `until` comes. */
async function talk(identity: string, frames: readonly object[], until?: FromSeed['type']): Promise<FromSeed[]> {
  const got: FromSeed[] = [];
  let control: Control | undefined;
  await new Promise<void>((resolve, reject) => {
    openControl({
      ...cluster.access(identity),
      onFrame: (frame) => {
        got.push(frame);
        if (frame.type === until) resolve();
      },
      onClose: () => resolve(),
    }).then((opened) => {
      control = opened;
      for (const frame of frames) opened.send(frame as ToSeed);
    }, reject);
  });
  control?.destroy();
  return got;
}

const refusal = async (identity: string, ...frames: object[]) => {
  const last = (await talk(identity, frames)).at(-1);
  return last?.type === 'refuse' ? last.reason : last;
};

test('what does not fit the identity is refused', async () => {
  cluster = await bootCluster([{ name: 'api' }, { name: 'web' }]);
  const api = hostIdentity('api', 5);
  const join = { type: 'join', ports: [] };
  expect(await refusal(api, { ...join, host: 'web', epoch: 5 })).toBe("the key is for epoch 5 of 'api' only");
  expect(await refusal(api, { ...join, host: 'api', epoch: 6 })).toBe("the key is for epoch 5 of 'api' only");
  expect(await refusal(api, { ...join, host: 'api', epoch: 5, asClient: true })).toBe(
    "epoch 5 of 'api' is not being released",
  );
  expect(await refusal(api, join)).toContain('only');
  expect(await refusal('client', { ...join, host: 'api' })).toContain('function host');
  expect(await refusal('client', { ...join, host: 'nobody', asClient: true })).toContain("no host 'nobody'");
  expect(await refusal('operator', join)).toContain('does not join');
  expect(await refusal('client', { type: 'status', id: 1 })).toContain('for operators');
  expect(await refusal(api, { type: 'events', id: 1, follow: false })).toContain('for operators');
  expect(await refusal('client', { type: 'suspend' })).toBe("'suspend' came before 'join'");
  expect(await refusal('client', join, join)).toBe('has joined already');
});

test.each<[string, object]>([
  ['an unknown type', { type: 'launch' }],
  ['a port that is none', { type: 'locate', id: 1, host: 'api', port: 70_000 }],
  ['a negative id', { type: 'locate', id: -1, host: 'api', port: 80 }],
  ['a name that is an object', { type: 'locate', id: 1, host: { toString: 1 }, port: 80 }],
  ['a mapping without a scope', { type: 'ports', ports: [{ port: 1, realPort: 1 }], settled: false }],
  [
    'too many ports',
    { type: 'ports', ports: Array(5_000).fill({ port: 1, realPort: 1, scope: 'any' }), settled: false },
  ],
  ['an event name with a line end', { type: 'report', event: 'a\nb', detail: {} }],
  ['a detail that is a list', { type: 'report', event: 'a', detail: { a: [] } }],
])('%s is refused, and the cluster goes on', async (_what, frame) => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', cluster.serves(80));
  expect(await refusal('client', { type: 'join', ports: [] }, frame)).toContain(
    `a '${(frame as { type: string }).type}' frame`,
  );
  await (await cluster.client()).locate('api', 80);
});

test('the same locate twice is refused', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', () => new Promise(() => undefined));
  const locate = { type: 'locate', id: 1, host: 'api', port: 80 };
  expect(await refusal('client', { type: 'join', ports: [] }, locate, locate)).toBe('locate 1 is open already');
});

test('a peer with more open locates than any host can have is refused, and the others are served', async () => {
  cluster = await bootCluster([{ name: 'api' }, { name: 'web' }]);
  cluster.host('api', () => new Promise(() => undefined));
  cluster.host('web', cluster.serves(80));
  const locates = Array.from({ length: 4_097 }, (_, id) => ({ type: 'locate', id, host: 'api', port: 1 + id }));
  expect(await refusal('client', { type: 'join', ports: [] }, ...locates)).toBe('4096 locates are open already');
  // Its locates went with it.
  expect((await fetchStatus(cluster.access('operator'))).hosts[0].waiting).toBe(0);
  await (await cluster.client()).locate('web', 80);
}, 20_000);

test('a supervisor that locates and does not read is cut off; the others are told', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  let host: Supervisor | undefined;
  cluster.host('api', async (invocation) => {
    host = await cluster.supervise(invocation);
    host.listen(80);
    await host.stopped;
    return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
  });
  const [address, port] = cluster.seed.address.split(':');
  const { identity, secret } = cluster.access('client');
  const deaf = tlsConnect({
    ...pskOptions(),
    host: address,
    port: Number(port),
    pskCallback: () => ({ psk: secret, identity }),
    checkServerIdentity: () => undefined,
  });
  deaf.on('error', () => undefined);
  deaf.write(encodeFrame({ type: 'join', ports: [] } as never));
  deaf.write(encodeFrame({ type: 'locate', id: 1, host: 'api', port: 80 } as never));
  const good = await cluster.client();
  await good.locate('api', 80);
  await cluster.event('api', 'connected', ({ detail }) => detail.from === 'client-0');
  deaf.pause();
  // A location with as many ports as others are told of is large; each answer to it has it.
  const told = good.told.length;
  host!.listen(80, ...Array.from({ length: 400 }, (_, i) => 1_024 + i));
  while (good.told.length === told) await new Promise((resolve) => setImmediate(resolve));
  for (let id = 2; !cluster.logs.some((line) => line.includes('bytes wait for a peer')); id++) {
    deaf.write(encodeFrame({ type: 'locate', id, host: 'api', port: 80 } as never));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await good.locate('api', 80);
  deaf.destroy();
}, 60_000);

test('welcome: who one is, the directory, and for a host its own entry', async () => {
  cluster = await bootCluster([{ name: 'api', aliases: ['backend'] }, { name: 'web' }]);
  const [client] = await talk('client', [{ type: 'join', ports: [] }], 'welcome');
  expect(client).toMatchObject({
    cluster: 'test',
    cidr: '100.64.0.0/16',
    self: { name: 'client-0', address: '100.64.255.0', nodeId: 2, epoch: 0 },
    observed: '127.0.0.1',
  });
  expect(unpackDirectory(client.type === 'welcome' ? client.directory! : '')).toMatchObject([
    { name: 'api', aliases: ['backend'], nodeId: 0 },
    { name: 'web', aliases: [], nodeId: 1 },
  ]);
  expect(client).not.toHaveProperty('host');
  const [asWeb] = await talk('client', [{ type: 'join', host: 'web', asClient: true, ports: [] }], 'welcome');
  expect(asWeb).toMatchObject({
    self: { name: 'web', nodeId: 1, epoch: 0 },
    host: { name: 'web', command: ['guest'] },
  });
});

test('the directory is sent to who does not have it, and to nobody else', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const join = async (directoryDigest?: string) => {
    const [frame] = await talk('client', [{ type: 'join', ports: [], directoryDigest }], 'welcome');
    if (frame.type !== 'welcome') throw new Error(`not a welcome: ${frame.type}`);
    return frame;
  };
  const first = await join();
  expect(first.directory).toBeDefined();
  const again = await join(first.directoryDigest);
  expect(again).not.toHaveProperty('directory');
  expect(again.directoryDigest).toBe(first.directoryDigest);
  expect((await join('of another one')).directory).toBe(first.directory);
});

test('a host of network flat is where its virtual address says', async () => {
  cluster = await bootCluster([{ name: 'api', address: '100.64.7.9' }], { flat: 66 });
  const { seed, secret } = cluster.access(hostIdentity('api', 5));
  const of = { version: 1, cluster: 'test', host: 'api', epoch: 5, action: 'run' } as const;
  const invocation = { ...of, seed, secret: secret.toString('base64') };
  const host = await cluster.supervise(invocation, { ports: [{ port: 80, realPort: 40_080, scope: 'any' }] });
  const { location } = await (await cluster.client()).locate('api', 80);
  expect(location).toMatchObject({ address: '127.66.7.9', epoch: 5 });
  await cluster.seed.stop({ down: true });
  expect(await host.stopped).toBe(false);
});

test('a client under the name of a host locates like anybody, and never becomes the location', async () => {
  cluster = await bootCluster([{ name: 'api' }, { name: 'web' }]);
  cluster.host('api', cluster.serves(80));
  const asHost = await cluster.client({ join: () => ({ host: 'web', asClient: true, ports: [] }) });
  await asHost.locate('api', 80);
  asHost.ports([{ port: 81, realPort: 81, scope: 'any' }], true);
  expect((await cluster.event('api', 'connected')).detail.from).toBe('web (client)');
  expect((await fetchStatus(cluster.access('operator'))).hosts[1]).toMatchObject({
    name: 'web',
    state: 'imagined',
    ports: [],
  });
});

test('addresses of clients come back into use, the one freed last comes last', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  const first = await cluster.client();
  const second = await cluster.client();
  expect([first, second].map((c) => c.welcome.self.address)).toEqual(['100.64.255.0', '100.64.255.1']);
  await first.leave({ outcome: 'released' });
  const third = await cluster.client();
  expect(third.welcome.self.address).toBe('100.64.255.2');
});

test('aliases and canonical names lead to the same host', async () => {
  cluster = await bootCluster([{ name: 'api', aliases: ['backend'] }]);
  cluster.host('api', cluster.serves(80));
  const client = await cluster.client();
  for (const name of ['backend', 'node-0', 'api.test', 'backend.test']) {
    expect((await client.locate(name, 80)).location.host).toBe('api');
  }
  expect(cluster.lambda.requests).toHaveLength(1);
});

test('status shows what operators need', async () => {
  cluster = await bootCluster([{ name: 'api' }, { name: 'web' }, { name: 'bad' }]);
  cluster.host('api', cluster.serves(80, 8_080));
  cluster.host('bad', async (invocation) => (await cluster.supervise(invocation)).exit(1, 'no such file'));
  const client = await cluster.client();
  await client.locate('api', 8_080);
  await failure(client.locate('bad', 80));
  const { hosts, ...rest } = await fetchStatus(cluster.access('operator'));
  expect(rest).toMatchObject({ cluster: 'test', cidr: '100.64.0.0/16' });
  expect(hosts).toMatchObject([
    { name: 'api', state: 'running', allocations: 1, ports: [80, 8_080], waiting: 0, allocateMs: expect.any(Number) },
    { name: 'web', state: 'imagined', epoch: null, allocations: 0, allocateMs: null, ports: [] },
    { name: 'bad', state: 'failed', allocations: 1, reason: expect.stringContaining('no such file') },
  ]);
});

test('the event log: all that is kept, then, for followers, all that comes', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', cluster.serves(80));
  const client = await cluster.client();
  await client.locate('api', 80);
  const past: string[] = [];
  for await (const { event } of readEvents({ ...cluster.access('operator'), follow: false })) past.push(event);
  expect(past).toEqual([
    'seed-started',
    'allocating',
    'invoked',
    'joined',
    'guest-started',
    'listening',
    'running',
    'connected',
  ]);
  const times: number[] = [];
  let seen = 0;
  for await (const { time } of readEvents({ ...cluster.access('operator'), follow: true })) {
    times.push(time);
    if (++seen === past.length) void client.locate('api', 80);
    if (seen > past.length) break;
  }
  expect(times).toEqual([...times].sort((a, b) => a - b));
});

test('the log keeps the last 10,000 events, and reading them all is no flood', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', cluster.serves(80));
  const client = await cluster.client();
  for (let round = 0; round < 105; round++)
    await Promise.all(Array.from({ length: 100 }, () => client.locate('api', 80)));
  const kept: string[] = [];
  for await (const { event } of readEvents({ ...cluster.access('operator'), follow: false })) kept.push(event);
  expect(kept).toHaveLength(10_000);
  // Who made the most events has lost its oldest; what became of the host is there still.
  expect(kept.slice(0, 7)).toEqual(expect.arrayContaining(['seed-started', 'allocating', 'running']));
  expect(new Set(kept.slice(7))).toEqual(new Set(['connected']));
}, 20_000);

test('a locate that nobody waits for any longer is forgotten', async () => {
  cluster = await bootCluster([{ name: 'api' }]);
  cluster.host('api', () => new Promise(() => undefined));
  const client = await cluster.client();
  const giveUp = new AbortController();
  const locate = failure(client.locate('api', 80, { signal: giveUp.signal }));
  await failure(client.locate('nobody', 1));
  const waiting = async () => (await fetchStatus(cluster.access('operator'))).hosts[0].waiting;
  expect(await waiting()).toBe(1);
  giveUp.abort();
  expect((await locate).errno).toBe('ETIMEDOUT');
  await failure(client.locate('nobody', 1));
  expect(await waiting()).toBe(0);
});

test('a host instance joins by itself and gets an epoch', async () => {
  cluster = await bootCluster([{ name: 'vm', kind: 'instance' }]);
  const join = { type: 'join', host: 'vm', ports: [{ port: 80, realPort: 80, scope: 'any' }] };
  let control: Control | undefined;
  const welcome = await new Promise<FromSeed>((resolve) => {
    openControl({ ...cluster.access('client'), onFrame: resolve }).then((opened) => {
      control = opened;
      opened.send(join as ToSeed);
    });
  });
  expect(welcome).toMatchObject({ type: 'welcome', self: { name: 'vm' } });
  const { location } = await (await cluster.client()).locate('vm', 80);
  // Who does not say that it is directly reachable is met through its NAT, which it has yet to find out about.
  expect(location).toMatchObject({
    host: 'vm',
    nat: { kind: 'unknown', reflexiveAddress: '127.0.0.1' },
    state: 'running',
  });
  expect(location.address).toBeUndefined();
  control?.destroy();
});
