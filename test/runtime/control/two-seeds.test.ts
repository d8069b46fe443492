/** Members and operators of a cluster with two seeds: they find the one that serves, and leave one that stands still. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { HEARTBEAT } from '../../../src/contract/control/frame-codec';
import { deriveSecret } from '../../../src/contract/control/psk';
import { parseManifest } from '../../../src/contract/manifest';
import { STANDBY_HEARTBEAT } from '../../../src/runtime/control/connection';
import { connectToFirst } from '../../../src/runtime/control/endpoints';
import {
  ControlError,
  fetchStatus,
  openControl,
  openSession,
  type Session,
  type SessionOptions,
} from '../../../src/runtime/control/index';
import { listenControl } from '../../../src/runtime/control/server';
import { type Seed, type SeedOptions, startSeed } from '../../../src/runtime/seed/seed';
import { eventually } from '../../support/eventually';

const KEY = Buffer.from('a cluster key for tests only');
const secretOf = (identity: string, key = KEY) => deriveSecret(key, 'test', identity);
const manifest = parseManifest({ version: 1, cluster: { name: 'test' }, hosts: [] });
/** One that holds its lease for ever. */
const lease = { number: 2, check: () => undefined, epochClock: Date.now };

/** Addresses of two seeds; neither runs yet. */
let first: string;
let second: string;
const undo: Array<() => unknown> = [];

beforeEach(async () => {
  [first, second] = [await freeAddress(), await freeAddress()];
});
afterEach(async () => {
  for (let step = undo.pop(); step; step = undo.pop()) await step();
});

async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

/** A seed that serves at `listen`, and says that the other one is at `other`. */
async function serve(listen: string, other?: string, options: Partial<SeedOptions> = {}): Promise<Seed> {
  const seed = await startSeed({
    ...{ manifest, listen, log: () => undefined, grace: 0 },
    keys: async () => [KEY],
    invoke: new Promise(() => undefined),
    standby: other === undefined ? undefined : { seed: other, lease },
    ...options,
  });
  undo.push(() => seed.stop());
  return seed;
}

interface Member {
  readonly session: Session;
  /** Of each seed that it has joined, which one that says the other one is. */
  readonly joined: string[];
  readonly lost: () => number;
}

async function join(seed: string, standby?: string, options: Partial<SessionOptions> = {}): Promise<Member> {
  const joined: string[] = [];
  let lost = 0;
  const closing = new AbortController();
  undo.push(() => closing.abort());
  const session = await openSession({
    ...{ seed, identity: 'client', secret: secretOf('client'), signal: closing.signal },
    standby: standby === undefined ? undefined : { seed: standby },
    join: () => ({ ports: [] }),
    onWelcome: ({ standby: other }) => joined.push(other?.seed ?? 'alone'),
    onLocation: () => undefined,
    onDisconnect: () => {
      lost += 1;
    },
    onStop: () => undefined,
    ...options,
  });
  return { session, joined, lost: () => lost };
}

/** What a process that stands still is to others: its kernel takes connections, and nobody answers. */
async function standStill(address: string): Promise<Server> {
  const [host, port] = address.split(':');
  const sockets = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true }, (socket) => sockets.add(socket)).listen(Number(port), host);
  await once(server, 'listening');
  undo.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return server;
}

test('both serve: the first is joined, and the second is not asked', async () => {
  await serve(first, second);
  const asked: string[] = [];
  const other = await listenControl({
    ...{ listen: second, secretOf: () => secretOf('client') },
    onPeer: (_, channel) => {
      asked.push(channel.peer);
      return { onFrame: () => undefined, onClose: () => undefined };
    },
    onRejected: (peer) => asked.push(peer),
  });
  undo.push(() => other.close());
  const { session, joined } = await join(first, second);
  expect(session.connected).toBe(true);
  expect(joined).toEqual([second]);
  expect(other.handshaking).toBe(0);
  expect(asked).toEqual([]);
});

test('the first is not there: the second is joined', async () => {
  await serve(second, first);
  expect((await join(first, second)).joined).toEqual([first]);
});

test('the first stands still: the second is joined long before its silence counts as an end', async () => {
  await standStill(first);
  await serve(second, first);
  const start = performance.now();
  expect((await join(first, second)).joined).toEqual([first]);
  expect(performance.now() - start).toBeLessThan(4_000);
});

test.each(['first', 'second'])('neither is there, until the %s is', async (which) => {
  const attempts: string[] = [];
  const joining = join(first, second, { log: (_level, message) => attempts.push(message) });
  const tried = (address: string) => attempts.some((message) => message.includes(address));
  await eventually(() => tried(first) && tried(second));
  await (which === 'first' ? serve(first, second) : serve(second, first));
  expect((await joining).joined).toEqual([which === 'first' ? second : first]);
});

test.each([
  ['named in the invocation', true],
  ['named by the seed', false],
])('the seed ends, and the other one %s takes over; locates that wait go on', async (_what, named) => {
  const before = await serve(first, second);
  const { session, joined } = await join(first, named ? second : undefined);
  await before.stop();
  const locating = session.locate('nobody', 80);
  await serve(second, first);
  await expect(locating).rejects.toMatchObject({ errno: 'EHOSTUNREACH', message: /there is no host 'nobody'/ });
  expect(joined).toEqual([second, first]);
});

test('a standby that is given up is forgotten', async () => {
  const alone = await serve(first);
  const { session, joined } = await join(first, second);
  expect(joined).toEqual(['alone']);
  const stranger = await serve(second, first);
  await alone.stop();
  await eventually(() => !session.connected);
  await serve(first);
  await eventually(() => session.connected);
  expect(joined).toEqual(['alone', 'alone']);
  const status = await fetchStatus({ seed: stranger.address, identity: 'operator', secret: secretOf('operator') });
  expect(status.cluster).toBe('test');
});

/** A way to `to` that stands still on command: bytes stay in the kernel, and nothing is closed. */
async function way(to: string): Promise<{ readonly address: string; standStill(): void }> {
  const sockets = new Set<Socket>();
  const [host, port] = to.split(':');
  let still = false;
  const server = createServer({ pauseOnConnect: true }, (near) => {
    sockets.add(near.on('error', () => undefined));
    if (still) return;
    const far = connect(Number(port), host);
    sockets.add(far.on('error', () => undefined));
    near.pipe(far).pipe(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    standStill: () => {
      still = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
}

test('a seed that stands still is left after four of its signs of life, and the other one is joined', async () => {
  await serve(first, second);
  const path = await way(first);
  const { session, joined, lost } = await join(path.address);
  await serve(second, path.address);
  path.standStill();
  const start = performance.now();
  await eventually(() => joined.length === 2, 15_000);
  // Without a standby it takes at least 15 s.
  expect(performance.now() - start).toBeLessThan(12_000);
  expect(performance.now() - start).toBeGreaterThan(2 * STANDBY_HEARTBEAT);
  expect(joined).toEqual([second, path.address]);
  expect(lost()).toBe(1);
  expect(session.connected).toBe(true);
}, 20_000);

test('a seed with a standby sends more signs of life, and does not expect more', async () => {
  const ends: unknown[] = [];
  const server = await listenControl({
    ...{ listen: first, heartbeat: 20, deadAfter: 1_000, secretOf: () => secretOf('client') },
    onPeer: () => ({ onFrame: () => undefined, onClose: (end) => ends.push(end) }),
    onRejected: () => undefined,
  });
  undo.push(() => server.close());
  // This one would say that it lives in a minute, and wants to hear of the other side every 50 ms.
  const [slow, quick] = [60_000, 50].map((heartbeat) =>
    openControl({
      ...{ seed: first, identity: 'client', secret: secretOf('client'), heartbeat },
      onFrame: () => undefined,
      onClose: (end) => ends.push(end),
    }),
  );
  const channels = [await slow, await quick];
  undo.push(() => {
    for (const channel of channels) channel.destroy();
  });
  // Ten signs are far more than the three after which silence would be an end.
  const { sent } = channels[1];
  await eventually(() => channels[1].sent >= sent + 10 * HEARTBEAT.length);
  expect(ends).toEqual([]);
  expect(channels.every(({ open }) => open)).toBe(true);
});

const control = (signal: AbortSignal | undefined, limit?: number, key = KEY) =>
  connectToFirst({ endpoints: [{ seed: first }, { seed: second }], signal, limit }, (endpoint, given) =>
    openControl({
      ...{ ...endpoint, signal: given, identity: 'operator', secret: secretOf('operator', key) },
      onFrame: () => undefined,
    }),
  );

test('nobody answers in time: the error names who was asked last', async () => {
  await standStill(first);
  const error: ControlError = await control(undefined, 600).catch((reason) => reason);
  expect(error).toBeInstanceOf(ControlError);
  expect(error.code).toBe('unreachable');
  expect(error.message).toContain(`the seed at ${second} cannot be reached: connect ECONNREFUSED`);
});

test('given up: both attempts end', async () => {
  const given = new AbortController();
  const connecting = control(given.signal);
  given.abort();
  await expect(connecting).rejects.toMatchObject({ code: 'aborted' });
});

test('a seed that says no: there is no other try', async () => {
  await serve(second, first);
  await expect(control(undefined, 10_000, Buffer.from('some other cluster key'))).rejects.toMatchObject({
    code: 'rejected',
  });
});

test('an operator finds the one that serves', async () => {
  await serve(second, first);
  const access = { identity: 'operator', secret: secretOf('operator') };
  expect(await fetchStatus({ ...access, seed: first, standby: { seed: second } })).toMatchObject({ cluster: 'test' });
  expect(await fetchStatus({ ...access, seed: second, standby: { seed: first } })).toMatchObject({ cluster: 'test' });
});
