/**
 * Relayed connections with the seed's real data port: who shows what is not (or no longer) good gets nothing, and says
 * so.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { parseAddress } from '../../../src/contract/manifest/address';
import type { Purpose } from '../../../src/contract/peer/peer-messages';
import type { DataPort, DataPortEvent } from '../../../src/native/addon';
import { Relayed } from '../../../src/runtime/transport/relayed/relayed';
import type { GuestConnect } from '../../../src/runtime/transport/transport';
import { eventually } from '../../support/eventually';
import { native, openSockets, type Pair, socketsSince, type TestMember, twoMembers } from './members';

jest.setTimeout(30_000);

const HERE = '127.65.4.1';
const PURPOSE = { for: 'connection', port: 80, sourcePort: 4_711 } as const;
const PEER_LINK: Purpose = { for: 'peer-link', key: randomBytes(32).toString('base64') };
/** What the caller and the callee are given for one connection. */
type Tokens = readonly [caller: string, callee: string];

let pair: Pair;
let dataPort: DataPort;
let events: DataPortEvent[];
let guest: Server;
/** What came to the guest that listens at the callee. */
let signals: number;
let handed: number[];
let web: Relayed;
let api: Relayed;
/** What the next caller is given, and its callee: as many as there are; then good ones. */
let next: Tokens[];
let before: ReadonlySet<string>;
const closing = new AbortController();
const sockets = new Set<Socket>();

let lastId = 0;
function tokens(): Tokens {
  const both = [randomBytes(32), randomBytes(32)];
  expect(dataPort.expect(both[0], both[1], ++lastId)).toBe(true);
  return [both[0].toString('base64'), both[1].toString('base64')];
}

function relayedOf(member: TestMember, callee: () => Relayed | undefined): Relayed {
  return new Relayed({
    connector: member.connector,
    // What the seed does: it gives each side its token.
    relay: async (_to, message) => {
      const [mine, theirs] = next.shift() ?? tokens();
      if (message.type === 'relay') void callee()?.relayed(member.sender, theirs, message.purpose);
      return mine;
    },
    dataPort: () => ({ address: HERE, port: dataPort.port }),
    guestPort: () => 61_000,
    toSupervisor: (_from, _key, descriptor) => void handed.push(descriptor),
    signal: closing.signal,
  });
}

function own(descriptor: number): Socket {
  const socket = new Socket({ fd: descriptor, readable: true, writable: true });
  sockets.add(socket);
  return socket.on('error', () => undefined);
}

/** Somebody without a connector: what came before it ended. */
async function stranger(token: string): Promise<string> {
  const socket = connect({ host: HERE, port: dataPort.port });
  sockets.add(socket);
  let got = '';
  socket.on('data', (data) => (got += data));
  socket.write(Buffer.concat([Buffer.from('IMR1'), Buffer.from(token, 'base64')]));
  const [error] = await Promise.race([
    once(socket, 'close').then(() => []),
    new Promise<[Error]>((done) => socket.on('error', (e) => done([e]))),
  ]);
  return got + ((error as NodeJS.ErrnoException | undefined)?.code ?? 'end');
}

/** A guest that waits: its outcome, and the answer that it gets from a connector (none unless it was connected). */
async function call() {
  const [read, replyTo] = native.pipe();
  const { address, host, epoch } = pair.api.asPeer;
  const waiting: Omit<GuestConnect, 'location'> = {
    address,
    port: 80,
    realPort: 8_080,
    sourcePort: 4_711,
    replyTo,
    signal: closing.signal,
  };
  const outcome = await web.connect(
    { ...waiting, location: { host, epoch } as GuestConnect['location'] },
    'punched: no',
  );
  native.closeDescriptor(replyTo); // a failure leaves it to its owner
  const answer = own(read);
  let answered = '';
  answer.on('data', (data) => (answered += data));
  await once(answer, 'close');
  return { outcome, answered };
}

beforeEach(async () => {
  pair = twoMembers(4);
  events = [];
  dataPort = native.openDataPort(HERE, 0, (event) => void events.push(event));
  signals = 0;
  handed = [];
  next = [];
  guest = createServer((socket) => {
    signals += 1;
    sockets.add(socket.on('error', () => undefined));
  });
  await new Promise<void>((done) => guest.listen(0, '127.66.4.2', done));
  const { port } = guest.address() as { port: number };
  pair.api.connector.listeners(Uint32Array.of(80, parseAddress('127.66.4.2')!, port));
  web = relayedOf(pair.web, () => api);
  api = relayedOf(pair.api, () => undefined);
  // So that what is counted later is connections: threads are there from the first one on.
  await exchange();
  before = openSockets();
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  pair.close();
  dataPort.close();
  guest.close();
});

/** A connection between the two supervisors, whose bytes arrive both ways. */
async function exchange(): Promise<void> {
  const { host, address, epoch } = pair.api.asPeer;
  const mine = own(await web.toSupervisor({ host, address, epoch }, PEER_LINK, 'punched: no'));
  await eventually(() => handed.length === 1);
  const theirs = own(handed.pop()!);
  for (const [from, to] of [
    [mine, theirs],
    [theirs, mine],
  ]) {
    from.write('bytes');
    expect(String((await once(to, 'data'))[0])).toBe('bytes');
  }
  mine.destroy();
  await once(theirs.resume(), 'close');
  await eventually(() => events.some(({ type, ...event }) => type === 'ended' && 'id' in event && event.id === lastId));
}

/** Nobody's guest saw anything of it, nothing is left of it, and others are served as before. */
async function nothingCameOfIt(): Promise<void> {
  await eventually(() => socketsSince(before) === 0);
  expect({ signals, handed, arriving: pair.api.connector.arriving() }).toEqual({ signals: 0, handed: [], arriving: 0 });
  await exchange();
  await eventually(() => socketsSince(before) === 0);
}

test('a token of each side: the guest that listens is signalled', async () => {
  const [mine, theirs] = tokens();
  void api.relayed(pair.web.sender, theirs, PURPOSE);
  void stranger(mine);
  await eventually(() => signals === 1);
});

test('a token is good for once: shown again, by whomever, it is refused at once', async () => {
  const used = tokens();
  next = [used];
  const { host, address, epoch } = pair.api.asPeer;
  const mine = own(await web.toSupervisor({ host, address, epoch }, PEER_LINK, ''));
  await eventually(() => handed.length === 1);
  const theirs = own(handed.pop()!);
  const open = openSockets();

  for (const token of used) expect(await stranger(token)).toBe('ECONNRESET');
  next = [used];
  expect(await call()).toEqual({ outcome: { by: 'none', reason: 'ECONNRESET' }, answered: '' });
  next = [used];
  await expect(web.toSupervisor({ host, address, epoch }, PEER_LINK, '')).rejects.toMatchObject({ code: 'NOT_OPENED' });
  await eventually(() => socketsSince(open) === 0);

  // Who used it first does not notice.
  mine.write('still whole');
  expect(String((await once(theirs, 'data'))[0])).toBe('still whole');
  mine.destroy();
  await once(theirs.resume(), 'close');
  await nothingCameOfIt();
});

test('both sides with the token of one: that is shown twice, and nobody is the other side', async () => {
  const [mine] = tokens();
  next = [[mine, mine]];
  const { outcome, answered } = await call();
  expect(outcome).toMatchObject({ by: 'none', reason: expect.stringMatching(/^(ECONNRESET|ETIMEDOUT)$/) });
  expect(answered).toBe('');
  await nothingCameOfIt();
});

test('tokens of two other connections do not meet: it ends at its deadline', async () => {
  const [first, second] = [tokens(), tokens()];
  next = [[first[0], second[1]]];
  expect(await call()).toEqual({ outcome: { by: 'none', reason: 'ETIMEDOUT' }, answered: '' });
  await nothingCameOfIt();
});

test('a token that nobody has given, and one that has expired', async () => {
  const late = tokens();
  const id = lastId;
  const invented = randomBytes(32).toString('base64');
  next = [[invented, invented]];
  expect(await call()).toEqual({ outcome: { by: 'none', reason: 'ECONNRESET' }, answered: '' });
  while (!events.some((event) => event.type === 'unused' && event.id === id)) await setImmediate();
  next = [late];
  expect(await call()).toEqual({ outcome: { by: 'none', reason: 'ECONNRESET' }, answered: '' });
  await nothingCameOfIt();
});

test('a data port that has gone: refused at once', async () => {
  next = [tokens()];
  dataPort.close();
  expect(await call()).toEqual({ outcome: { by: 'none', reason: 'ECONNREFUSED' }, answered: '' });
  expect({ signals, handed }).toEqual({ signals: 0, handed: [] });
});
