/** Datagrams over one connection per pair of members: real connections, through a real data port. */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { formatAddress, parseAddress } from '../../../src/contract/manifest/address';
import type { Sender } from '../../../src/contract/peer/peer-messages';
import type { DataPort } from '../../../src/native/addon';
import { loadNative } from '../../../src/native/addon/load';
import { createGuard } from '../../../src/runtime/control/guard';
import { type Connector, openConnector } from '../../../src/runtime/transport/connector';
import { createLinks, type Datagram, type Links } from '../../../src/runtime/transport/peer-link/datagram-link';

const ONE = parseAddress('100.64.1.1')!;
const TWO = parseAddress('100.64.1.2')!;
const LOOPBACK = parseAddress('127.0.0.1')!;
const senderOf = (address: number): Sender => ({
  member: 1,
  name: 'x',
  address: formatAddress(address),
  epoch: 1,
  addresses: [],
});
const datagram = (text: string | Buffer, port = 53): Datagram => ({ sourcePort: 1_000, port, data: Buffer.from(text) });

interface Side {
  readonly links: Links;
  readonly got: Datagram[];
  readonly failures: string[];
  dials: number;
  /** What came next, or why something failed. */
  next(): Promise<Datagram | string>;
}

let port: DataPort;
let connector: Connector;
let ended: number;
let onEnded: () => void;
let nextId: number;
/** What `dial` does instead of connecting. */
let refuses: string | undefined;
let wrongKey: boolean;
let one: Side;
let two: Side;

/** Both ends of a new connection: descriptors. */
async function connection(): Promise<[number, number]> {
  const tokens = [randomBytes(32), randomBytes(32)];
  port.expect(tokens[0], tokens[1], nextId++);
  const open = (token: Buffer) =>
    connector.open({
      ...{ purpose: 'hand', peer: ONE, epoch: 1, remote: LOOPBACK, remotePort: port.port, timeout: 5_000 },
      ...{ send: Buffer.concat([Buffer.from('IMR1'), token]), expect: Uint8Array.of(1) },
    });
  return (await Promise.all(tokens.map(open))) as [number, number];
}

function side(self: number, other: () => Side): Side {
  let wake: () => void = () => undefined;
  const made: Side = {
    links: createLinks({
      guard: createGuard(() => undefined),
      dial: async (_address, purpose) => {
        made.dials += 1;
        if (refuses !== undefined) throw new Error(refuses);
        const [mine, theirs] = await connection();
        const key = purpose.for === 'datagrams' && !wrongKey ? purpose.key : randomBytes(32).toString('base64');
        other().links.accept(senderOf(self), key, theirs);
        return mine;
      },
      onDatagram: (_address, came) => {
        made.got.push({ ...came, data: Buffer.from(came.data) });
        wake();
      },
      onFailure: (_address, reason) => {
        made.failures.push(reason);
        wake();
      },
    }),
    got: [],
    failures: [],
    dials: 0,
    next: async () => {
      while (made.got.length + made.failures.length === 0) await new Promise<void>((done) => (wake = done));
      return made.got.shift() ?? made.failures.shift()!;
    },
  };
  return made;
}

beforeEach(() => {
  const native = loadNative();
  nextId = 1;
  ended = 0;
  onEnded = () => undefined;
  refuses = undefined;
  wrongKey = false;
  port = native.openDataPort('127.0.0.1', 0, ({ type }) => {
    if (type !== 'ended') return;
    ended += 1;
    onEnded();
  });
  const nothing = () => undefined;
  const aliasBase = parseAddress('127.247.0.0')!;
  connector = openConnector({
    native,
    aliasBase: aliasBase,
    onUsed: nothing,
    onLost: nothing,
    onSilent: nothing,
    onSignallingEnded: nothing,
    onMissed: nothing,
    onRefused: nothing,
  });
  one = side(ONE, () => two);
  two = side(TWO, () => one);
});
afterEach(() => {
  for (const { links } of [one, two]) links.clear();
  connector.close();
  port.close();
});

test('what is sent before the connection stands arrives, in its order; answers take the same one', async () => {
  for (const text of ['first', 'second', '']) one.links.send(TWO, datagram(text));
  expect([await two.next(), await two.next(), await two.next()]).toEqual(
    ['first', 'second', ''].map((t) => datagram(t)),
  );
  two.links.send(ONE, datagram('answer', 1_000));
  expect(await one.next()).toEqual(datagram('answer', 1_000));
  expect([one.dials, two.dials]).toEqual([1, 0]);
});

test('the largest datagram, and many of them: whole or not at all', async () => {
  const large = randomBytes(65_507);
  one.links.send(TWO, datagram(large));
  expect(await two.next()).toEqual(datagram(large));
  for (let i = 0; i < 400; i++) one.links.send(TWO, datagram(Buffer.alloc(60_000, i % 256), i));
  one.links.send(TWO, datagram('lost like those before it, or the last', 9_999));
  const first = (await two.next()) as Datagram;
  expect(first.port).toBe(0);
  while (two.got.length < 5) await new Promise(setImmediate);
  for (const { port: i, data } of two.got.filter(({ data }) => data.length === 60_000)) {
    expect(data.every((byte) => byte === i % 256)).toBe(true);
  }
  // What a peer that does not read would make us hold is bounded: most of it was lost.
  expect(two.got.length).toBeLessThan(400);
});

test('before the connection stands no more than 256 are held', async () => {
  for (let i = 0; i < 300; i++) one.links.send(TWO, datagram('x', i + 1));
  await two.next();
  two.links.send(ONE, datagram('done'));
  await one.next();
  expect(two.got.length).toBe(255);
});

test('no way: said once, and not tried again at once', async () => {
  refuses = 'punched: no; relayed: the relay is full';
  one.links.send(TWO, datagram('lost'));
  expect(await one.next()).toBe(refuses);
  one.links.send(TWO, datagram('lost too'));
  expect(one.dials).toBe(1);
  // Where it was, it is not: what was found out of it is of no use any more.
  refuses = undefined;
  one.links.drop(TWO);
  one.links.send(TWO, datagram('there'));
  expect(await two.next()).toEqual(datagram('there'));
});

test('a connection that somebody else got: nothing comes through it', async () => {
  wrongKey = true;
  one.links.send(TWO, datagram('secret'));
  expect(await one.next()).toEqual(expect.any(String));
  expect(two.got).toHaveLength(0);
});

test('a connection that ends is made anew', async () => {
  one.links.send(TWO, datagram('first'));
  await two.next();
  const over = new Promise<void>((done) => (onEnded = done));
  two.links.clear();
  await over;
  while (one.dials < 2) {
    one.links.send(TWO, datagram('again'));
    await new Promise(setImmediate);
  }
  expect(await two.next()).toEqual(datagram('again'));
  expect(ended).toBe(1);
});

test('bytes that are no TLS end it', async () => {
  const [mine, theirs] = await connection();
  two.links.accept(senderOf(ONE), randomBytes(32).toString('base64'), theirs);
  const { Socket } = await import('node:net');
  const socket = new Socket({ fd: mine, readable: true, writable: true });
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  expect(two.got).toHaveLength(0);
});
