/**
 * What one member sends to another is bounded for each sender: who sends too much is told so, and nobody else notices.
 */
import { once } from 'node:events';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { encodeFrame, frameDecoder } from '../../../../src/contract/control/frame-codec';
import type { FromSeed } from '../../../../src/contract/control/from-seed';
import type { ToSeed } from '../../../../src/contract/control/to-seed';
import type { PeerMessage } from '../../../../src/contract/peer/peer-messages';
import { pskOptions } from '../../../../src/runtime/control/tls-options';
import { bootCluster, type Cluster, failure } from '../cluster';

let cluster: Cluster;
const sockets = new Set<TLSSocket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await cluster.close();
});

interface Member {
  /** Paused: it does not read. */
  readonly socket: TLSSocket;
  send(frame: ToSeed): void;
  readonly got: FromSeed[];
  /** Why it was cut off. */
  readonly closed: string[];
  /** The first frame, past or future, that is like this. */
  frame<T extends FromSeed['type']>(
    type: T,
    match?: (frame: Extract<FromSeed, { type: T }>) => boolean,
  ): Promise<Extract<FromSeed, { type: T }>>;
}

/** A member over a bare connection, which can be stopped from reading. */
async function member(join: object): Promise<Member> {
  const got: FromSeed[] = [];
  const closed: string[] = [];
  const watchers = new Set<() => void>();
  const [host, port] = cluster.seed.address.split(':');
  const { identity, secret } = cluster.access('client');
  const pskCallback = () => ({ psk: secret, identity });
  const socket = tlsConnect({
    ...pskOptions(),
    host,
    port: Number(port),
    pskCallback,
    checkServerIdentity: () => undefined,
  });
  sockets.add(socket);
  const decode = frameDecoder((frame) => {
    got.push(frame as FromSeed);
    for (const watcher of [...watchers]) watcher();
  });
  socket.on('data', decode);
  socket.on('error', () => undefined);
  socket.on('close', () => closed.push('closed'));
  await once(socket, 'secureConnect');
  const send = (frame: ToSeed) => void socket.write(encodeFrame(frame));
  send({ type: 'join', ports: [], ...join });
  const frame: Member['frame'] = (type, match = () => true) =>
    new Promise((resolve) => {
      const look = () => {
        const found = got.find((frame) => frame.type === type && match(frame as never));
        if (!found) return;
        watchers.delete(look);
        resolve(found as never);
      };
      watchers.add(look);
      look();
    });
  await frame('welcome');
  return { socket, send, got, closed, frame };
}

const hosts = [
  { name: 'victim', kind: 'instance' },
  { name: 'flooder', kind: 'instance' },
  { name: 'honest', kind: 'instance' },
] as const;
const ports = [{ port: 80, realPort: 40_080, scope: 'any' }] as const;
const secrets = Buffer.alloc(64 * 32).toString('base64');
const punch = (id: number): PeerMessage => ({
  ...{ type: 'punch', id, address: '127.0.0.1', from: Array.from({ length: 64 }, () => 10_240) },
  purpose: { for: 'pool', secrets },
});
const relay: PeerMessage = {
  type: 'relay',
  purpose: { for: 'connection', port: 80, sourcePort: 40_000 },
  reason: 'x',
};

/** Sends until the seed has said no. */
async function flood(from: Member, frameOf: (id: number) => ToSeed, refused: () => boolean): Promise<number> {
  let id = 1;
  while (!refused()) {
    for (let i = 0; i < 50; i++) from.send(frameOf(id++));
    if (from.socket.writableLength > 0) await once(from.socket, 'drain');
    await new Promise(setImmediate);
    if (from.closed.length > 0) throw new Error(`the flooder was cut off: ${from.closed[0]}`);
  }
  return id;
}

describe.each<['tell' | 'relay', (id: number) => ToSeed, (frame: FromSeed) => boolean]>([
  ['tell', (id) => ({ type: 'peerMessage', to: 'victim', message: punch(id) }), (f) => f.type === 'undeliverable'],
  [
    'relay',
    (id) => ({ type: 'relay', id, to: 'victim', message: { ...relay, reason: 'y'.repeat(1_900) } }),
    (f) => f.type === 'relayReply' && 'reason' in f,
  ],
])("a flood of '%s' to a member that reads slowly", (kind, frameOf, isRefusal) => {
  test('is told to its sender; the victim stays, and hears others and the seed', async () => {
    cluster = await bootCluster(hosts);
    const victim = await member({ host: 'victim', ports });
    const flooder = await member({ host: 'flooder' });
    const honest = await member({ host: 'honest' });
    victim.socket.pause();
    await flood(flooder, frameOf, () => flooder.got.some(isRefusal));
    const [no] = flooder.got.filter(isRefusal);
    expect((no as { reason: string }).reason).toMatch(
      kind === 'tell' ? /^it reads slowly: \d+ bytes of yours wait for it; allowed now: \d+$/ : /of yours/,
    );
    // There is room for others still, and for what the victim itself asks.
    honest.send({ type: 'peerMessage', to: 'victim', message: { ...punch(77), id: 4_242 } as PeerMessage });
    victim.send({ type: 'locate', id: 9, host: 'nobody', port: 1 });
    await cluster.client().then((client) => failure(client.locate('nobody', 1)));
    victim.socket.resume();
    const { from } = await victim.frame('peerMessage', ({ message }) => 'id' in message && message.id === 4_242);
    expect(from.name).toBe('honest');
    await victim.frame('unreachable', ({ id }) => id === 9);
    expect([victim.closed, flooder.closed, honest.got.filter(({ type }) => type === 'undeliverable')]).toEqual([
      [],
      [],
      [],
    ]);
    expect(cluster.logs.filter((line) => line.includes('lost host'))).toEqual([]);
  }, 30_000);
});

test('however many flood, the next one finds room', async () => {
  cluster = await bootCluster(hosts);
  const victim = await member({ host: 'victim', ports });
  victim.socket.pause();
  const frameOf = (id: number) => ({ type: 'peerMessage', to: 'victim', message: punch(id) }) as const;
  for (let i = 0; i < 5; i++) {
    const flooder = await member({});
    await flood(flooder, frameOf, () => flooder.got.some(({ type }) => type === 'undeliverable'));
  }
  const honest = await member({ host: 'honest' });
  honest.send(frameOf(4_242));
  await cluster.client().then((client) => failure(client.locate('nobody', 1)));
  victim.socket.resume();
  await victim.frame('peerMessage', ({ from }) => from.name === 'honest');
  expect(victim.closed).toEqual([]);
}, 30_000);

test('a host that changes its ports all the time fills nobody’s connection: who has not taken one change is not sent the next', async () => {
  cluster = await bootCluster(hosts);
  const victim = await member({ host: 'victim' });
  const liar = await member({ host: 'flooder', ports });
  victim.send({ type: 'locate', id: 1, host: 'flooder', port: 80 });
  const { location } = await victim.frame('located');
  for (let round = 1; round <= 40; round++) {
    const now = Array.from(
      { length: 600 },
      (_, i) => ({ port: 80 + i, realPort: 10_000 + i + round, scope: 'any' }) as const,
    );
    liar.send({ type: 'ports', ports: now, settled: true });
  }
  liar.send({ type: 'locate', id: 2, host: 'nobody', port: 1 });
  await liar.frame('unreachable');
  victim.send({ type: 'locate', id: 3, host: 'nobody', port: 1 });
  await victim.frame('unreachable');
  const told = () => victim.got.flatMap((frame) => (frame.type === 'location' ? [frame] : []));
  expect(told()).toHaveLength(1);
  // Others are told of a part of them, and ask for the rest.
  expect(told()[0].location.ports).toHaveLength(256);
  const [{ version }] = told();
  victim.send({ type: 'ack', host: 'flooder', version: version + 1_000 });
  victim.send({ type: 'ack', host: 'flooder', version });
  const last = await victim.frame('location', (frame) => frame.version > version);
  expect(last.location.ports[0]).toEqual({ port: 80, realPort: 10_040, scope: 'any' });
  expect(last.location.epoch).toBe(location.epoch);
  expect(told()).toHaveLength(2);
  victim.send({ type: 'locate', id: 4, host: 'flooder', port: 80 + 599 });
  expect(await victim.frame('located', ({ id }) => id === 4)).toMatchObject({ realPort: 10_639 });
}, 30_000);

test('a member has so many relayed connections under way, and others have theirs', async () => {
  cluster = await bootCluster(hosts);
  await member({ host: 'victim', ports });
  const flooder = await member({ host: 'flooder' });
  const honest = await member({ host: 'honest' });
  for (let id = 1; id <= 1_100; id++) flooder.send({ type: 'relay', id, to: 'victim', message: relay });
  const last = await flooder.frame('relayReply', ({ id }) => id === 1_100);
  expect(last).toMatchObject({ reason: expect.stringContaining('of yours') });
  honest.send({ type: 'relay', id: 1, to: 'victim', message: relay });
  expect(await honest.frame('relayReply')).toHaveProperty('token');
}, 30_000);
