import { connect, createServer, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type AnyFrame, encodeFrame } from '../../../src/contract/control/frame-codec';
import type { FromSeed } from '../../../src/contract/control/from-seed';
import { deriveSecret, type Identity } from '../../../src/contract/control/psk';
import type { Channel, ChannelEnd } from '../../../src/runtime/control/channel';
import { MAX_HANDSHAKES } from '../../../src/runtime/control/handshakes';
import { type Control, ControlError, openControl } from '../../../src/runtime/control/index';
import { type ControlServer, listenControl } from '../../../src/runtime/control/server';
import { pskOptions } from '../../../src/runtime/control/tls-options';

const KEY = Buffer.alloc(32, 1);
const nameOf = (identity: Identity) =>
  identity.kind === 'host' ? `host/${identity.host}/${identity.epoch}` : identity.kind;

/** One connection as the server sees it. */
interface Accepted {
  readonly identity: Identity;
  readonly channel: Channel<FromSeed>;
  readonly frames: AnyFrame[];
  readonly ended: Promise<ChannelEnd>;
}

let server: ControlServer;
let accepted: Accepted[];
let rejected: string[];
let onFrame: (frame: AnyFrame, from: Accepted) => void;
const opened: Array<{ destroy(): void }> = [];

async function listen(
  options: { heartbeat?: number; maxQueued?: number; maxRate?: number; handshakeTimeout?: number } = {},
) {
  accepted = [];
  rejected = [];
  onFrame = () => undefined;
  server = await listenControl({
    listen: '127.0.0.1:0',
    secretOf: (identity) =>
      identity.kind === 'host' && identity.host !== 'api' ? undefined : deriveSecret(KEY, 'test', nameOf(identity)),
    onPeer: (identity, channel) => {
      let end: (reason: ChannelEnd) => void = () => undefined;
      const peer: Accepted = { identity, channel, frames: [], ended: new Promise((resolve) => (end = resolve)) };
      accepted.push(peer);
      return {
        onFrame: (frame) => {
          peer.frames.push(frame);
          onFrame(frame, peer);
        },
        onClose: end,
      };
    },
    onRejected: (peer, reason) => rejected.push(`${peer} ${reason}`),
    ...options,
  });
}

afterEach(async () => {
  for (const one of opened.splice(0)) one.destroy();
  await server.close();
});

interface Opened {
  readonly control: Control;
  readonly frames: FromSeed[];
  readonly ended: Promise<ChannelEnd>;
}

async function open(identity = 'client', secret = deriveSecret(KEY, 'test', identity)): Promise<Opened> {
  const frames: FromSeed[] = [];
  let end: (reason: ChannelEnd) => void = () => undefined;
  const ended = new Promise<ChannelEnd>((resolve) => (end = resolve));
  const control = await openControl({
    seed: server.address,
    identity,
    secret,
    onFrame: (frame) => frames.push(frame),
    onClose: end,
  });
  opened.push(control);
  return { control, frames, ended };
}

/** A plain TCP connection to the server; resolves when it is open. */
const plain = () =>
  new Promise<Socket>((resolve) => {
    const [host, port] = server.address.split(':');
    const socket = connect(Number(port), host, () => resolve(socket));
    socket.on('error', () => undefined).resume();
    opened.push(socket);
  });

/** A TLS connection with a good key, to write anything into. */
function rawTls(): TLSSocket {
  const [host, port] = server.address.split(':');
  const psk = deriveSecret(KEY, 'test', 'client');
  const socket = tlsConnect({
    ...pskOptions(),
    // It would take a session ticket.
    secureOptions: 0,
    host,
    port: Number(port),
    pskCallback: () => ({ psk, identity: 'client' }),
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => undefined);
  opened.push(socket);
  return socket;
}

/** The server still serves: a good peer gets through. */
async function expectServing() {
  const before = accepted.length;
  const { control } = await open();
  await control.end();
  expect(accepted.length).toBe(before + 1);
}

test('both sides know who the other is, and frames go both ways, in order', async () => {
  await listen();
  const { control, frames } = await open('host/api/7');
  const done = new Promise<void>((resolve) => {
    onFrame = (_frame, { frames: got }) => got.length === 100 && resolve();
  });
  for (let id = 0; id < 100; id++) control.send({ type: 'cancel', id });
  await done;
  const [peer] = accepted;
  expect(peer.identity).toEqual({ kind: 'host', host: 'api', epoch: 7 });
  expect(peer.channel.peer).toBe('127.0.0.1');
  expect(peer.frames).toEqual(Array.from({ length: 100 }, (_, id) => ({ type: 'cancel', id })));
  peer.channel.send({ type: 'stop', reason: 'x'.repeat(100_000), fenced: false });
  await peer.channel.end();
  expect(frames.map((f) => f.type)).toEqual(['stop']);
});

test('the connection is encrypted, authenticated and forward secret', async () => {
  await listen();
  const socket = rawTls();
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  expect(socket.getCipher().standardName).toBe('TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256');
  expect(socket.getProtocol()).toBe('TLSv1.2');
  expect(socket.getTLSTicket()).toBeUndefined();
});

test.each([
  ['a wrong key', 'client', Buffer.alloc(32, 9)],
  ['another identity’s key', 'operator', deriveSecret(KEY, 'test', 'client')],
  ['another epoch’s key', 'host/api/8', deriveSecret(KEY, 'test', 'host/api/7')],
  ['another cluster’s key', 'client', deriveSecret(KEY, 'prod', 'client')],
  ['an unknown host', 'host/other/7', deriveSecret(KEY, 'test', 'host/other/7')],
  ['an unknown identity', 'root', deriveSecret(KEY, 'test', 'root')],
])('%s is rejected, and nobody else notices', async (_what, identity, secret) => {
  await listen();
  const error = await open(identity, secret).catch((caught) => caught);
  expect(error).toBeInstanceOf(ControlError);
  // Unknown or wrong: a stranger cannot tell.
  expect(error).toMatchObject({ code: 'rejected', message: expect.stringContaining('BAD_RECORD_MAC') });
  await open(identity, secret).catch(() => undefined);
  await expectServing();
  // Once per peer, not once per try.
  expect(rejected).toEqual([expect.stringMatching(new RegExp(`^127.0.0.1 no handshake as '${identity}': ERR_SSL`))]);
});

test('a seed that is not there, or is something else, is unreachable', async () => {
  await listen();
  const gone = await plain().then(() => server.address);
  await server.close();
  const access = { seed: gone, identity: 'client', secret: KEY, onFrame: () => undefined };
  await expect(openControl(access)).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('ECONNREFUSED'),
  });
  await listen();
});

test('an attempt can be given up, and has a limit of its own', async () => {
  await listen();
  const silent = (await import('node:net')).createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const seed = `127.0.0.1:${(silent.address() as { port: number }).port}`;
  const access = { seed, identity: 'client', secret: KEY, onFrame: () => undefined };
  await expect(openControl({ ...access, timeout: 100 })).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('within 100 ms'),
  });
  await expect(openControl({ ...access, signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ code: 'aborted' });
  silent.close();
});

test.each<[string, Buffer]>([
  ['random bytes', Buffer.from(Array.from({ length: 4_096 }, (_, i) => (i * 7919) % 251))],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n')],
  ['nothing', Buffer.alloc(0)],
  ['an endless TLS record', Buffer.concat([Buffer.from([22, 3, 3, 255, 255]), Buffer.alloc(70_000, 1)])],
])('garbage instead of a handshake (%s) costs the sender its connection', async (_what, bytes) => {
  await listen({ handshakeTimeout: 300 });
  const socket = await plain();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  await closed;
  await expectServing();
  expect(accepted).toHaveLength(1);
});

test('garbage after the handshake costs the sender its connection', async () => {
  await listen();
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from('xx')]),
  ]) {
    const socket = rawTls();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(bytes);
    await closed;
    expect((await accepted.at(-1)!.ended).error?.code).toBe('bad-frame');
  }
  await expectServing();
});

test.each([
  ['4 GiB', [0xff, 0xff, 0xff, 0xff], 4_294_967_295],
  ['one byte too many', [0, 0x10, 0, 1], 1_048_577],
])('an oversized frame (%s) is refused by its length, before its bytes', async (_what, header, length) => {
  await listen();
  const socket = rawTls();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(Buffer.from(header));
  await closed;
  expect((await accepted[0].ended).error).toEqual({
    code: 'bad-frame',
    message: `a frame of ${length} bytes; allowed: 1048576`,
  });
});

test('a peer that does not read is cut off, and what was queued for it is bounded', async () => {
  await listen({ maxQueued: 256 * 1024 });
  const { control } = await open();
  const slow = rawTls();
  await new Promise((resolve) => slow.once('secureConnect', resolve));
  slow.pause();
  while (accepted.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const { channel, ended } = accepted[1];
  const frame = { type: 'stop', reason: 'x'.repeat(64 * 1024), fenced: false } as const;
  let sent = 0;
  // Kernel buffers take a few MB; a queue without bound would take all of this.
  while (channel.send(frame) && sent < 2_000) {
    sent += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(sent).toBeLessThan(500);
  expect((await ended).error?.code).toBe('slow');
  expect(control.open).toBe(true);
});

test('a peer that falls silent is found dead; one that merely has nothing to say is not', async () => {
  await listen({ heartbeat: 50 });
  const { ended, channel } = await (async () => {
    await open();
    return accepted[0];
  })();
  // Our own client beats every 5 s only: to a server that expects 50 ms it is silent.
  const began = performance.now();
  expect((await ended).error?.code).toBe('dead');
  expect(performance.now() - began).toBeGreaterThan(140);
  expect(channel.open).toBe(false);
});

test('heartbeats keep a quiet connection open', async () => {
  await listen({ heartbeat: 50 });
  const socket = rawTls();
  let beats = 0;
  const enough = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      expect(chunk).toEqual(Buffer.alloc(4));
      socket.write(Buffer.alloc(4));
      if (++beats === 8) resolve();
    });
  });
  await enough;
  expect(accepted[0].channel.open).toBe(true);
  socket.write(encodeFrame({ type: 'stay' }));
  await new Promise<void>((resolve) => (onFrame = () => resolve()));
});

test('a handshake that comes byte by byte ends when its time is up, however busy it looks', async () => {
  await listen({ handshakeTimeout: 300 });
  const socket = await plain();
  // The header of a long record, then a byte every now and then: never silent for long, and never done.
  socket.write(Buffer.from([22, 3, 1, 16, 0]));
  const drip = setInterval(() => socket.write(Buffer.from([1])), 20);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(drip);
  expect(rejected).toEqual(['127.0.0.1 no handshake: ERR_TLS_HANDSHAKE_TIMEOUT']);
  await expectServing();
});

test('what a peer said cannot be said again by another: a recorded connection is of no use', async () => {
  await listen();
  const recorded: Buffer[] = [];
  const [host, port] = server.address.split(':');
  const proxy = createServer((from) => {
    const to = connect(Number(port), host);
    from.on('data', (bytes) => {
      recorded.push(bytes);
      to.write(bytes);
    });
    to.on('data', (bytes) => from.write(bytes)).on('close', () => from.destroy());
    from.on('close', () => to.destroy()).on('error', () => undefined);
    to.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const through = await openControl({
    seed: `127.0.0.1:${(proxy.address() as { port: number }).port}`,
    identity: 'client',
    secret: deriveSecret(KEY, 'test', 'client'),
    onFrame: () => undefined,
  });
  const said = new Promise<void>((resolve) => (onFrame = () => resolve()));
  through.send({ type: 'stay' });
  await said;
  await through.end();
  proxy.close();
  expect(accepted).toHaveLength(1);

  const replay = await plain();
  const closed = new Promise((resolve) => replay.once('close', resolve));
  // As the peer did: its part of the handshake first, the rest when the server has answered.
  replay.write(recorded[0]);
  await new Promise((resolve) => replay.once('data', resolve));
  for (const bytes of recorded.slice(1)) replay.write(bytes);
  await closed;
  expect(accepted).toHaveLength(1);
  expect(rejected).toEqual([expect.stringMatching(/^127.0.0.1 no handshake as 'client': ERR_SSL/)]);
});

test('2,000 connections that never finish their handshake: who knows the key gets in all the while', async () => {
  await listen({ handshakeTimeout: 60_000 });
  let closed = 0;
  for (let i = 0; i < 20; i++) {
    const some = await Promise.all(Array.from({ length: 100 }, () => plain()));
    for (const [j, socket] of some.entries()) {
      socket.once('close', () => (closed += 1));
      // Some are silent, some stop in the middle of a record.
      if (j % 2) socket.write(Buffer.from([22, 3, 1, 16, 0, 1]));
    }
    await expectServing();
  }
  // The table is bounded: the oldest have made room.
  while (closed < 2_000 - MAX_HANDSHAKES / 2) await new Promise((resolve) => setImmediate(resolve));
  await expectServing();
  expect(closed).toBeLessThanOrEqual(2_000 - MAX_HANDSHAKES / 2 + 1);
}, 30_000);

test('a peer that sends too much is read at the pace that is allowed, and nobody else waits for it', async () => {
  await listen({ maxRate: 1_000 });
  const flood = await open();
  const other = await open('operator');
  const frames = 3_000;
  const done = new Promise<void>((resolve) => {
    onFrame = (_frame, { frames: got }) => got.length === frames && resolve();
  });
  for (let id = 0; id < frames; id++) flood.control.send({ type: 'cancel', id });
  other.control.send({ type: 'status', id: 1 });
  const [flooding, quiet] = accepted;
  while (quiet.frames.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(flooding.frames.length).toBeLessThan(frames);
  // Nothing is lost of it.
  await done;
  expect(flooding.channel.open).toBe(true);
}, 20_000);

test('closing the server closes every connection, also those in their handshake', async () => {
  await listen();
  const { ended } = await open();
  const half = await plain();
  const closed = new Promise((resolve) => half.once('close', resolve));
  await server.close();
  await Promise.all([ended, closed]);
  await listen();
});
