/**
 * Messages and datagrams over one connection per pair of members: real connections, punched, or through a real data
 * port.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { parseAddress } from '../../../src/contract/manifest/address';
import { type Datagram, encodeDatagram } from '../../../src/contract/peer/datagram';
import type { PeerMessage, Sender } from '../../../src/contract/peer/peer-messages';
import type { DataPort } from '../../../src/native/addon';
import { createGuard } from '../../../src/runtime/control/guard';
import { type LinkPeer, type LinkTransport, PeerLinks } from '../../../src/runtime/transport/peer-link/peer-link';
import { handshake } from '../../../src/runtime/transport/peer-link/tls';
import type { PeerMember } from '../../../src/runtime/transport/peer-member';
import { eventually } from '../../support/eventually';
import { native, openSockets, type Pair, socketsSince, type TestMember, twoMembers } from './members';

const HERE = '127.65.2.1';
const never = new AbortController().signal;
const hello: PeerMessage = { type: 'unpunchable', id: 1, reason: 'hello' };
const answer: PeerMessage = { type: 'unpunchable', id: 2, reason: 'hello' };
const datagram = (text: string | Buffer, port = 53): Datagram => ({ sourcePort: 1_000, port, data: Buffer.from(text) });

class Side {
  /** Messages, and how many datagrams were there before each. */
  readonly heard: Array<{ readonly from: Sender; readonly message: PeerMessage; readonly after: number }> = [];
  readonly got: Datagram[] = [];
  readonly failures: string[] = [];
  readonly made: LinkTransport[] = [];
  links = this.open();
  #wake: () => void = () => undefined;

  constructor(
    readonly member: TestMember,
    readonly other: () => Side,
  ) {}

  get peer(): PeerMember {
    return this.other().member.asPeer;
  }

  open(proofLimit?: number): PeerLinks {
    return new PeerLinks({
      guard: createGuard(() => undefined),
      locate: () => located(this.peer),
      punch: (_peer, key) => {
        this.made.push('punched');
        return punches(this, key);
      },
      relay: (_peer, key) => {
        this.made.push('relayed');
        return relays(this, key);
      },
      onMessage: (from, message, reply) => {
        this.heard.push({ from, message, after: this.got.length });
        if ('id' in message && message.id === 1) reply(answer);
      },
      onDatagram: (_address, came) => {
        this.got.push({ ...came, data: Buffer.from(came.data) });
        this.#wake();
      },
      onFailure: (_address, reason) => {
        this.failures.push(reason);
        this.#wake();
      },
      proofLimit,
    });
  }

  say = (message = hello) => this.links.sendMessage(this.peer, message);

  send(text: string | Buffer, port?: number): void {
    this.links.sendDatagram(this.peer.address, datagram(text, port));
  }

  /** The next datagram, or why there is no link for it. */
  async next(): Promise<Datagram | string> {
    while (this.got.length + this.failures.length === 0) await new Promise<void>((done) => (this.#wake = done));
    return this.got.shift() ?? this.failures.shift()!;
  }
}

let pair: Pair;
let dataPort: DataPort;
/** Relayed connections that have ended. */
let ended: number;
let lastId: number;
let web: Side;
let api: Side;
/** What becomes of an attempt; what the other side takes for the key. */
let punches: (side: Side, key: string) => Promise<number>;
let relays: (side: Side, key: string) => Promise<number>;
let keyThere: (key: string) => string;
let located: (peer: LinkPeer) => LinkPeer | undefined;

function punch({ member: { puncher, connector }, peer }: Side, key: string): Promise<number> {
  return puncher.punch(
    peer,
    1,
    { for: 'peer-link', key },
    ({ base, ports, to }, signal) =>
      connector.open({ ...base, purpose: 'hand', localPort: ports[0], remotePort: to[0] }, signal),
    never,
  );
}

async function relay(side: Side, key: string): Promise<number> {
  const tokens = [randomBytes(32), randomBytes(32)];
  dataPort.expect(tokens[0], tokens[1], ++lastId);
  const open = ({ connector }: TestMember, token: Buffer) =>
    connector.open({
      ...{ purpose: 'hand', peer: side.peer.address, epoch: 7, timeout: 5_000 },
      ...{ remote: parseAddress(HERE)!, remotePort: dataPort.port },
      ...{ send: Buffer.concat([Buffer.from('IMR1'), token]), expect: Uint8Array.of(1) },
    });
  const other = side.other();
  const [mine, theirs] = await Promise.all([open(side.member, tokens[0]), open(other.member, tokens[1])]);
  other.links.accept(side.member.sender, keyThere(key), theirs, 'relayed');
  return mine;
}

const refuse = (reason: string) => () => Promise.reject(new Error(reason));

beforeEach(() => {
  pair = twoMembers(2);
  [ended, lastId] = [0, 0];
  dataPort = native.openDataPort(HERE, 0, ({ type }) => {
    if (type === 'ended') ended += 1;
  });
  [punches, relays, keyThere, located] = [punch, relay, (key) => key, (peer) => peer];
  web = new Side(pair.web, () => api);
  api = new Side(pair.api, () => web);
  for (const side of [web, api]) {
    side.member.toSupervisor = (from, key, descriptor) => side.links.accept(from, keyThere(key), descriptor, 'punched');
  }
});
afterEach(() => {
  for (const { links } of [web, api]) links.clear();
  pair.close();
  dataPort.close();
});

describe('messages', () => {
  test('one that is sent here is heard there, from the member that the seed vouched for, and answered over the link', async () => {
    expect(web.say()).toBe(false);
    web.links.open(web.peer);
    await eventually(() => web.say());
    await eventually(() => web.heard.length > 0);
    expect(api.heard[0]).toMatchObject({ from: pair.web.sender, message: hello });
    const { name, address, epoch } = pair.api.sender;
    expect(web.heard[0]).toMatchObject({ from: { name, address, epoch }, message: answer });
    // It is the other side's, too, but not another epoch's.
    await eventually(() => api.say());
    expect(web.links.sendMessage({ ...web.peer, epoch: 8 }, hello)).toBe(false);
    expect(web.links.sendMessage({ ...web.peer, address: 1 }, hello)).toBe(false);
  });

  test('a link is made once, however often it is asked for', async () => {
    web.links.open(web.peer);
    web.links.open(web.peer);
    await eventually(() => web.say());
    web.links.open(web.peer);
    expect(web.made).toEqual(['punched']);
  });

  test('both members open one at the same moment', async () => {
    web.links.open(web.peer);
    api.links.open(api.peer);
    await eventually(() => web.say());
    await eventually(() => api.heard.length > 0);
    await eventually(() => api.say());
    await eventually(() => web.heard.some(({ message }) => 'id' in message && message.id === 1));
  });

  test('a punch that fails: no relay is asked for, no failure is reported, and the next one may try again', async () => {
    punches = refuse('no');
    web.links.open(web.peer);
    await new Promise(setImmediate);
    punches = punch;
    web.links.open(web.peer);
    await eventually(() => web.say());
    expect(web.made).toEqual(['punched', 'punched']);
    expect(web.failures).toEqual([]);
  });

  test('dropped: neither side has it', async () => {
    web.links.open(web.peer);
    await eventually(() => web.say());
    await eventually(() => api.say());
    web.links.drop(web.peer.address);
    expect(web.say()).toBe(false);
    await eventually(() => !api.say());
  });
});

describe('datagrams', () => {
  test('what is sent before the link stands arrives, in its order; answers take the same link, and so do messages', async () => {
    const texts = ['first', 'second', ''];
    for (const text of texts) web.send(text);
    expect([await api.next(), await api.next(), await api.next()]).toEqual(texts.map((text) => datagram(text)));
    api.send('answer', 1_000);
    expect(await web.next()).toEqual(datagram('answer', 1_000));
    expect([web.say(), api.say()]).toEqual([true, true]);
    web.links.open(web.peer);
    expect([web.made, api.made]).toEqual([['punched'], []]);
  });

  test('the largest one, and many of them: whole or not at all', async () => {
    const large = randomBytes(65_507);
    web.send(large);
    expect(await api.next()).toEqual(datagram(large));
    for (let i = 0; i < 400; i++) web.send(Buffer.alloc(60_000, i % 256), i);
    web.send('lost like those before it, or the last', 9_999);
    const first = (await api.next()) as Datagram;
    expect(first.port).toBe(0);
    while (api.got.length < 5) await new Promise(setImmediate);
    for (const { port: i, data } of api.got.filter(({ data }) => data.length === 60_000)) {
      expect(data.every((byte) => byte === i % 256)).toBe(true);
    }
    // What a peer that does not read would make us hold is bounded: most of it was lost.
    expect(api.got.length).toBeLessThan(400);
  });

  test('a message does not wait for datagrams that wait', async () => {
    web.send('first');
    await api.next();
    for (let i = 0; i < 400; i++) web.send(Buffer.alloc(60_000), i);
    expect(web.say({ ...hello, reason: 'x'.repeat(2_000) } as PeerMessage)).toBe(true);
    await eventually(() => api.heard.length > 0);
    expect(api.heard[0].after).toBe(1);
    await eventually(() => api.got.length > 5);
  });

  test('before the link stands no more than 256 are held', async () => {
    for (let i = 0; i < 300; i++) web.send('x', i + 1);
    await api.next();
    api.send('done');
    await web.next();
    expect(api.got.length).toBe(255);
  });

  test('where no link can be punched it is relayed, and punched once that works', async () => {
    punches = refuse('no');
    web.send('relayed');
    expect(await api.next()).toEqual(datagram('relayed'));
    expect(web.made).toEqual(['punched', 'relayed']);
    expect(web.say()).toBe(true);
    punches = punch;
    api.links.open(api.peer);
    await eventually(() => ended === 1);
    await eventually(() => api.say());
    expect(api.made).toEqual(['punched']);
    web.send('punched');
    expect(await api.next()).toEqual(datagram('punched'));
    expect(web.made).toEqual(['punched', 'relayed']);
  });

  test('a client under the name of a host with a link is served, too', async () => {
    api.send('of the host');
    await web.next();
    const client = new Side({ ...pair.api, sender: { ...pair.api.sender, epoch: 0 } }, () => web);
    punches = refuse('no');
    client.send('of the client');
    expect(await web.next()).toEqual(datagram('of the client'));
    web.send('answer');
    expect(await client.next()).toEqual(datagram('answer'));
    client.links.clear();
  });

  test('a link that was to be punched for messages is relayed for a datagram that waits for it', async () => {
    let fail: (error: Error) => void = () => undefined;
    punches = () => new Promise((_resolve, reject) => (fail = reject));
    web.links.open(web.peer);
    web.send('waits');
    fail(new Error('no'));
    expect(await api.next()).toEqual(datagram('waits'));
    expect(web.made).toEqual(['punched', 'relayed']);
  });

  test('no way: reported once, and not tried again at once', async () => {
    punches = refuse('no');
    relays = refuse('the relay is full');
    web.send('lost');
    expect(await web.next()).toBe('the relay is full');
    web.send('lost too');
    expect(web.made).toEqual(['punched', 'relayed']);
    // It is not where it was: what was found out of it is of no use any more.
    punches = punch;
    web.links.drop(web.peer.address);
    web.send('there');
    expect(await api.next()).toEqual(datagram('there'));
  });

  test('a host that is not known to run, and one without a NAT report', async () => {
    located = () => undefined;
    web.send('lost');
    expect(await web.next()).toBe('it is not known to run');
    web.send('lost too');
    expect(web.failures).toEqual([]);
    located = ({ nat: _, ...peer }) => peer;
    web.links.drop(web.peer.address);
    web.send('there');
    expect(await api.next()).toEqual(datagram('there'));
    expect(web.made).toEqual(['relayed']);
  });

  test('a connection that ends is made anew', async () => {
    [punches, relays] = [refuse('no'), relay];
    web.send('first');
    await api.next();
    api.links.clear();
    await eventually(() => ended === 1);
    while (web.made.length < 4) {
      web.send('again');
      await new Promise(setImmediate);
    }
    expect(await api.next()).toEqual(datagram('again'));
    expect(ended).toBe(1);
  });
});

describe('a connection that another member got', () => {
  beforeEach(() => {
    keyThere = () => Buffer.alloc(32, 1).toString('base64');
  });

  test('no message passes, and nothing is left of it', async () => {
    const before = openSockets();
    let opened = 0;
    punches = async (side, key) => {
      const descriptor = await punch(side, key);
      opened++;
      return descriptor;
    };
    web.links.open(web.peer);
    await eventually(() => opened === 1);
    await eventually(() => socketsSince(before) === 0);
    expect([web.say(), api.say()]).toEqual([false, false]);
  });

  test('no datagram passes', async () => {
    web.send('secret');
    expect(await web.next()).toEqual(expect.any(String));
    expect(api.got).toHaveLength(0);
  });
});

describe('what is no frame ends the link, and nothing is heard of it', () => {
  test.each([
    ['garbage', Buffer.from('\0\0\0\x05{{{{{')],
    ['a frame of 4 GiB', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b])],
    ['a message that is none', frame(JSON.stringify({ type: 'punch', id: -1 }))],
    ['a datagram without a port', frame('\0\0\x35')],
    ['a datagram that is too long', encodeDatagram(datagram(Buffer.alloc(200_000)))],
  ])('%s', async (_name, bytes) => {
    const key = Buffer.alloc(32, 5);
    const raw = new Socket({ fd: await punch(web, key.toString('base64')), readable: true, writable: true });
    const socket = await handshake(raw, key, 'client');
    const closed = new Promise((done) => socket.once('close', done));
    socket.write(bytes);
    await closed;
    expect([api.heard, api.got]).toEqual([[], []]);
    expect(api.say()).toBe(false);
  });

  test('bytes that are no TLS', async () => {
    const socket = await silent();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');
    expect([api.heard, api.got]).toEqual([[], []]);
  });
});

function frame(text: string): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(text.length);
  return Buffer.concat([size, Buffer.from(text)]);
}

/** A connection of web's for a link, of which nothing is made. */
async function silent(): Promise<Socket> {
  const fd = await punch(web, randomBytes(32).toString('base64'));
  return new Socket({ fd, readable: true, writable: true }).on('error', () => undefined).resume();
}

describe('a member that asks for links and proves nothing', () => {
  test('is cut off in time', async () => {
    api.links = api.open(100);
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
