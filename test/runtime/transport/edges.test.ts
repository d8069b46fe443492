import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { MemberMessage, Sender } from '../../../src/contract/peer/peer-messages';
import { createGuard } from '../../../src/runtime/control/guard';
import { pskOptions } from '../../../src/runtime/control/tls-options';
import { createEdges, type Edges } from '../../../src/runtime/transport/peer-link/edges';
import type { Other } from '../../../src/runtime/transport/punched/punch';
import { openSockets, type Pair, socketsSince, type TestMember, twoMembers, until } from './members';

const never = new AbortController().signal;
const hello: MemberMessage = { type: 'unpunchable', id: 1, reason: 'hello' };

interface Heard {
  readonly from: Sender;
  readonly message: MemberMessage;
}
let pair: Pair;
let web: Edges;
let api: Edges;
let heard: { web: Heard[]; api: Heard[] };
/** What the other side takes for the key. */
let keyThere: (key: string) => string;
beforeEach(() => {
  pair = twoMembers(2);
  heard = { web: [], api: [] };
  keyThere = (key) => key;
  web = createEdges({
    guard: createGuard(() => undefined),
    onMessage: (from, message) => void heard.web.push({ from, message }),
  });
  api = createEdges({
    guard: createGuard(() => undefined),
    onMessage: (from, message, reply) => {
      heard.api.push({ from, message });
      reply({ ...hello, id: 2 } as MemberMessage);
    },
  });
  pair.api.onEdge = (from, key, descriptor) => api.accept(from, keyThere(key), descriptor);
});
afterEach(() => {
  web.clear();
  api.clear();
  pair.close();
});

function punchFrom({ puncher, connector }: TestMember, other: Other, key: string): Promise<number> {
  return puncher.punch(
    other,
    1,
    { for: 'edge', key },
    ({ base, ports, to }, signal) =>
      connector.open({ ...base, purpose: 'hand', localPort: ports[0], remotePort: to[0] }, signal),
    never,
  );
}

const punch = (key: string) => punchFrom(pair.web, pair.api.other, key);
const toApi = () => web.tell('api', 7, hello);

test('what is said at one side is heard at the other, from whom the seed said it is, and answered over it', async () => {
  expect(toApi()).toBe(false);
  web.open(pair.api.sender, punch);
  await until(toApi);
  await until(() => heard.web.length > 0);
  expect(heard.api[0]).toEqual({ from: pair.web.sender, message: hello });
  expect(heard.web[0]).toEqual({ from: pair.api.sender, message: { ...hello, id: 2 } });
  // It is the other side's, too, but not another epoch's.
  await until(() => api.tell('web', 7, hello));
  expect(web.tell('api', 8, hello)).toBe(false);
  expect(web.tell('db', 7, hello)).toBe(false);
});

test('it is made once, however often it is asked for', async () => {
  let punches = 0;
  const counted = (key: string) => {
    punches++;
    return punch(key);
  };
  web.open(pair.api.sender, counted);
  web.open(pair.api.sender, counted);
  await until(toApi);
  web.open(pair.api.sender, counted);
  expect(punches).toBe(1);
});

test('both ends meet in the middle', async () => {
  pair.web.onEdge = (from, key, descriptor) => web.accept(from, key, descriptor);
  web.open(pair.api.sender, punch);
  api.open(pair.web.sender, (key) => punchFrom(pair.api, pair.web.other, key));
  await until(toApi);
  await until(() => heard.api.length > 0);
  await until(() => api.tell('web', 7, hello));
  await until(() => heard.web.some(({ message }) => 'id' in message && message.id === 1));
});

test('another key: no edge at either side, and nothing is left of it', async () => {
  const before = openSockets();
  let opened = 0;
  keyThere = () => Buffer.alloc(32, 1).toString('base64');
  web.open(pair.api.sender, async (key) => {
    const descriptor = await punch(key);
    opened++;
    return descriptor;
  });
  await until(() => opened === 1);
  await until(() => socketsSince(before) === 0);
  expect(toApi()).toBe(false);
  expect(api.tell('web', 7, hello)).toBe(false);
});

test('a punch that fails: the next one may try again', async () => {
  let failed = 0;
  web.open(pair.api.sender, () => Promise.reject(new Error(`${++failed}`)));
  await until(() => failed === 1);
  await new Promise(setImmediate);
  web.open(pair.api.sender, punch);
  await until(toApi);
});

test('dropped: neither side has it', async () => {
  web.open(pair.api.sender, punch);
  await until(toApi);
  await until(() => api.tell('web', 7, hello));
  web.drop('api');
  expect(toApi()).toBe(false);
  await until(() => !api.tell('web', 7, hello));
});

test.each([
  ['garbage', Buffer.from('\0\0\0\x05{{{{{')],
  ['a frame of 4 GiB', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b])],
  ['a message that is none', frame({ type: 'punch', id: -1 })],
])('%s: the edge ends, and nobody has heard anything', async (_name, bytes) => {
  const key = Buffer.alloc(32, 5).toString('base64');
  const raw = new Socket({ fd: await punch(key), readable: true, writable: true });
  const pskCallback = () => ({ psk: Buffer.from(key, 'base64'), identity: 'edge' });
  const socket = connectTls({ ...pskOptions(), socket: raw, pskCallback, checkServerIdentity: () => undefined });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  const closed = once(socket, 'close');
  socket.write(bytes);
  await closed;
  expect(heard.api).toEqual([]);
  expect(api.tell('web', 7, hello)).toBe(false);
});

function frame(content: object): Buffer {
  const body = Buffer.from(JSON.stringify(content));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(body.length);
  return Buffer.concat([size, body]);
}

describe('whoever asks for edges and proves nothing', () => {
  /** The descriptor of a connection of web's for an edge, of which nothing is made. */
  const silent = async () => {
    const socket = new Socket({ fd: await punch(randomBytes(32).toString('base64')), readable: true, writable: true });
    socket.on('error', () => undefined).resume();
    return socket;
  };

  test('is cut off in time', async () => {
    api = createEdges({ guard: createGuard(() => undefined), onMessage: () => undefined, proofLimit: 100 });
    await once(await silent(), 'close');
  });

  test('has a few connections at most, the newest ones', async () => {
    const asked: Socket[] = [];
    for (let i = 0; i < 7; i++) asked.push(await silent());
    await Promise.all(asked.slice(0, 3).map((socket) => socket.destroyed || once(socket, 'close')));
    expect(asked.slice(3).every((socket) => !socket.destroyed)).toBe(true);
    for (const socket of asked) socket.destroy();
  });
});
