/** A connection that is punched for one guest: no guest gets a byte of it before the other side has proved itself. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { constants } from 'node:os';
import { parseAddress } from '../../../src/contract/manifest/address';
import type { Opening } from '../../../src/runtime/transport/connector';
import { OpeningError } from '../../../src/runtime/transport/connector';
import { eventually } from '../../support/eventually';
import { type Pair, twoMembers } from './members';

const never = new AbortController().signal;
let server: Server;
let pair: Pair;
let signals: number;
/** Of the other side. */
let epoch: number;

beforeEach(async () => {
  signals = 0;
  epoch = 7;
  server = createServer((socket) => {
    signals += 1;
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  pair = twoMembers(7);
  const { port } = server.address() as AddressInfo;
  pair.api.connector.listeners(Uint32Array.of(80, parseAddress('127.0.0.1')!, port));
});
afterEach(() => {
  pair.close();
  server.close();
});

/** `forge`: what this side says, or expects, instead of what was agreed on. Resolves with its descriptor. */
const connect = (forge: Pick<Opening, 'send' | 'expect'> = {}) =>
  pair.web.puncher.punch(
    { ...pair.api.asPeer, epoch },
    1,
    { for: 'connection', port: 80, sourcePort: 4_711 },
    ({ base, ports, to, proved }, ending) => {
      const opening = { ...base, ...forge, purpose: 'hand', localPort: ports[0], remotePort: to[0] } as const;
      return pair.web.connector.open(opening, ending, proved);
    },
    never,
  );

/** Resolves when the other side has ended it. */
const ended = (descriptor: number) =>
  new Promise<void>((done) => {
    const socket = new Socket({ fd: descriptor });
    socket.on('error', () => undefined).resume();
    socket.once('close', () => done());
  });

test('both prove themselves: the guest that listens is signalled', async () => {
  const signalled = once(server, 'connection');
  const socket = new Socket({ fd: await connect() });
  await signalled;
  socket.destroy();
});

test('a stranger listens: the guest that connects gets nothing', async () => {
  const error = await connect({ expect: Buffer.from('a wrong password') }).catch((thrown: Error) => thrown);
  expect(error).toEqual(new OpeningError(constants.errno.EBADMSG));
});

test('a stranger connects: the guest that listens is not signalled', async () => {
  await ended(await connect({ send: Buffer.from('a wrong password') }));
  expect(signals).toBe(0);
});

test.each(['127.65.7.1', '127.65.7.2'])('it is agreed on wherever the other side is (%s)', async (address) => {
  pair.api.nat = { ...pair.api.nat, reflexiveAddress: address, localAddress: address };
  pair.api.receive = (message) => void pair.api.got.push(message);
  const purpose = { for: 'connection', port: 80, sourcePort: 4_711 } as const;
  const { send, expect: hears } = await pair.web.puncher.punch(
    pair.api.asPeer,
    1,
    purpose,
    async ({ base }) => base,
    never,
  );
  const proof = Buffer.concat([send!, hears!]);
  expect([send, hears]).toMatchObject([{ length: 16 }, { length: 16 }]);
  expect(pair.api.got).toMatchObject([{ purpose: { proof: proof.toString('base64') } }]);
});

describe('a public address', () => {
  const PUBLIC = '127.65.7.2';
  beforeEach(() => {
    pair.api.nat = { ...pair.api.nat, reflexiveAddress: PUBLIC, localAddress: PUBLIC };
  });

  test.each(['none', 'one-to-one'] as const)(
    'that it waits is its proof (%s): the guest is signalled',
    async (kind) => {
      pair.api.nat = { ...pair.api.nat, kind };
      const signalled = once(server, 'connection');
      const socket = new Socket({ fd: await connect() });
      await signalled;
      expect(pair.api.got).toMatchObject([{ type: 'punch', direct: true }]);
      // Nothing of ours is in front of what the guest there says.
      expect(socket.read()).toBeNull();
      socket.destroy();
    },
  );

  test('it does not wait: that somebody answers at the port is not enough', async () => {
    const stranger = createServer((socket) => void socket.on('error', () => undefined).resume());
    const { receive } = pair.api;
    pair.api.receive = (message, reply) => {
      if (message.type !== 'punch') return receive(message, reply);
      const [port] = message.to!;
      stranger.listen(port, PUBLIC, () => {
        // The caller is connected, for all that it can see.
        stranger.once('connection', () => receive(message, reply));
      });
    };
    await expect(connect()).rejects.toMatchObject({ code: 'NOT_PUNCHED', busy: true });
    stranger.close();
    expect(signals).toBe(0);
  });

  test('nothing gets there: the next connection is asked for in another way', async () => {
    // Says that it waits, and does not: as behind a firewall, but that a firewall would be silent.
    pair.api.receive = (message, reply) => {
      if (message.type !== 'punch') return;
      if (message.direct) reply({ type: 'punching', id: message.id, address: PUBLIC, ports: message.to! });
      else pair.api.got.push(message);
    };
    await expect(connect()).rejects.toMatchObject({ code: 'NOT_PUNCHED', busy: true });
    // That one is not made: over loopback two connects would meet by chance, as each is refused at once.
    const next = connect().catch(() => undefined);
    await eventually(() => pair.api.got.length === 1);
    expect(pair.api.got).toMatchObject([{ type: 'punch' }]);
    expect(pair.api.got[0]).not.toHaveProperty('direct');
    await next;
  });

  test('nothing gets there: it is asked to wait once, and not for each connection', async () => {
    const asked: unknown[] = [];
    pair.api.receive = (message, reply) => {
      asked.push(message);
      if ('direct' in message) reply({ type: 'punching', id: message.id, address: PUBLIC, ports: message.to! });
    };
    await expect(connect()).rejects.toMatchObject({ code: 'NOT_PUNCHED', busy: true });
    const purpose = { for: 'connection', port: 80, sourcePort: 4_711 } as const;
    const agreed = () => pair.web.puncher.punch(pair.api.asPeer, 1, purpose, async ({ to }) => to, never);
    for (let i = 0; i < 3; i++) expect(await agreed()).toHaveLength(1);
    await eventually(() => asked.length === 4);
    expect(asked.map((message) => 'direct' in (message as object))).toEqual([true, false, false, false]);
  });

  test.each([
    ['endpoint-independent', true],
    ['symmetric', false],
    ['unknown', false],
  ] as const)('nothing gets there, from behind a NAT that is %s: another way may work (%p)', async (own, busy) => {
    pair.web.nat = { ...pair.web.nat, kind: own };
    const asked: unknown[] = [];
    pair.api.receive = (message, reply) => {
      asked.push(message);
      if (message.type === 'punch') reply({ type: 'punching', id: message.id, address: PUBLIC, ports: message.to! });
    };
    await expect(connect()).rejects.toMatchObject({ code: 'NOT_PUNCHED', busy });
    // Its ports are looked up then, or it cannot be punched to: it is not asked to wait once more.
    await expect(connect()).rejects.toThrow(busy ? 'no port of this member is to be probed' : 'on this side: its NAT');
    expect(asked).toHaveLength(1);
  });

  test('the next epoch of the host is asked again', async () => {
    const { receive } = pair.api;
    pair.api.receive = (message, reply) => {
      if (message.type === 'punch') reply({ type: 'punching', id: message.id, address: PUBLIC, ports: message.to! });
    };
    await expect(connect()).rejects.toMatchObject({ busy: true });
    pair.api.receive = receive;
    epoch = 8;
    const socket = new Socket({ fd: await connect() });
    expect(pair.api.got).toMatchObject([{ type: 'punch', direct: true }]);
    socket.destroy();
  });
});
