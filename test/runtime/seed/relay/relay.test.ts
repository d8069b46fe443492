/**
 * Members find each other through the seed: messages, what they know of their NATs, and connections through its data
 * port.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { FromSeed } from '../../../../src/contract/control/from-seed';
import type { ToSeed } from '../../../../src/contract/control/to-seed';
import type { NatReport, PeerMessage, Recipient, Sender } from '../../../../src/contract/peer/peer-messages';
import {
  type Control,
  openControl,
  type Session,
  type SessionOptions,
  type Welcome,
} from '../../../../src/runtime/control/index';
import { bootCluster, type Cluster, failure } from '../cluster';

let cluster: Cluster;
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await cluster.close();
});

/** What a member was sent, to be waited for. */
function inbox() {
  const told: Array<{ from: Sender; message: PeerMessage }> = [];
  const relayed: Array<{ from: Sender; token: string; message: PeerMessage }> = [];
  const undeliverable: Array<{ to: Recipient; id: number | undefined; reason: string }> = [];
  const watchers = new Set<() => void>();
  const look = () => {
    for (const watcher of watchers) watcher();
  };
  const first = <T>(list: readonly T[]) =>
    new Promise<T>((found) => {
      const watch = () => {
        if (list.length === 0) return;
        watchers.delete(watch);
        found(list[0]);
      };
      watchers.add(watch);
      watch();
    });
  const options: Partial<SessionOptions> = {
    onPeerMessage: (from, message) => {
      told.push({ from, message });
      look();
    },
    onRelayed: (from, token, message) => {
      relayed.push({ from, token, message });
      look();
    },
    onUndeliverable: (to, id, reason) => {
      undeliverable.push({ to, id, reason });
      look();
    },
  };
  return {
    options,
    undeliverable: () => first(undeliverable),
    told: () => first(told),
    relayed: () => first(relayed),
    all: undeliverable,
  };
}

const host = (name: string, boxes: ReturnType<typeof inbox>): Promise<Session & { welcome: Welcome }> =>
  cluster.client({ ...boxes.options, join: () => ({ host: name, ports: [] }) });

const PUNCH: PeerMessage = {
  type: 'punch',
  id: 7,
  address: '127.0.0.1',
  from: [10_240],
  purpose: { for: 'connection', port: 80, sourcePort: 40_000 },
};
const RELAY: PeerMessage = {
  type: 'relay',
  purpose: { for: 'connection', port: 80, sourcePort: 40_000 },
  reason: 'symmetric',
};
const hosts = [
  { name: 'one', kind: 'instance' },
  { name: 'two', kind: 'instance', aliases: ['second'] },
  { name: 'api' },
] as const;

function dial(dataPort: number, token: string): Socket {
  const socket = connect({ port: dataPort, host: '127.0.0.1' });
  sockets.add(socket);
  socket.on('error', () => undefined);
  socket.write(Buffer.concat([Buffer.from('IMR1'), Buffer.from(token, 'base64')]));
  return socket;
}

describe('messages', () => {
  test('reach a host by any of its names, and their sender by its number', async () => {
    cluster = await bootCluster(hosts);
    const [one, two] = [inbox(), inbox()];
    const first = await host('one', one);
    const second = await host('two', two);
    expect(first.sendPeerMessage('second', PUNCH)).toBe(true);
    const { from, message } = await two.told();
    expect(message).toEqual(PUNCH);
    expect(from).toEqual({
      member: from.member,
      name: 'one',
      address: first.welcome.self.address,
      epoch: expect.any(Number),
      addresses: ['127.0.0.1'],
    });
    expect(from.epoch).toBeGreaterThan(0);
    second.sendPeerMessage(from.member, { type: 'unpunchable', id: 7, reason: 'no' });
    expect(await one.told()).toMatchObject({ from: { name: 'two' }, message: { type: 'unpunchable', id: 7 } });
  });

  test('a client may send them, and is answered', async () => {
    cluster = await bootCluster(hosts);
    const [mine, two] = [inbox(), inbox()];
    const client = await cluster.client(mine.options);
    const second = await host('two', two);
    client.sendPeerMessage('two', PUNCH);
    const { from } = await two.told();
    expect(from).toMatchObject({ name: 'client-0', epoch: 0 });
    second.sendPeerMessage(from.member, { type: 'punching', id: 7, address: '127.0.0.1', ports: [1_024] });
    expect((await mine.told()).message.type).toBe('punching');
  });

  test.each<[Recipient, RegExp]>([
    ['api', /^'api' is imagined$/],
    ['nobody', /^there is no host 'nobody' in the cluster$/],
    [3, /^member 3 is not there any more$/],
  ])('to %p: said why not', async (to, reason) => {
    cluster = await bootCluster(hosts);
    const one = inbox();
    const first = await host('one', one);
    first.sendPeerMessage(to, PUNCH);
    expect(await one.undeliverable()).toEqual({ to, id: 7, reason: expect.stringMatching(reason) });
    expect(await failure(first.relay(to, RELAY))).toEqual({
      errno: 'EHOSTUNREACH',
      reason: expect.stringMatching(reason),
    });
  });

  test('a member that has left is not taken for another one', async () => {
    cluster = await bootCluster(hosts);
    const [one, two] = [inbox(), inbox()];
    const first = await host('one', one);
    const second = await host('two', two);
    first.sendPeerMessage('two', PUNCH);
    const { from } = await two.told();
    first.close();
    await cluster.event('one', 'disconnected');
    second.sendPeerMessage(from.member, { type: 'unpunchable', id: 7, reason: 'late' });
    expect((await two.undeliverable()).reason).toBe(`member ${from.member} is not there any more`);
    const again = inbox();
    const rejoined = await host('one', again);
    rejoined.sendPeerMessage('two', PUNCH);
    second.sendPeerMessage(from.member, { type: 'unpunchable', id: 8, reason: 'late' });
    await failure(second.locate('nobody', 1));
    expect(two.all).toHaveLength(2);
  });

  test('a probe reaches a client by its name, which no other message does', async () => {
    cluster = await bootCluster(hosts);
    const [mine, one] = [inbox(), inbox()];
    await cluster.client(mine.options);
    const first = await host('one', one);
    first.sendPeerMessage('client-0', PUNCH);
    expect((await one.undeliverable()).reason).toBe("there is no host 'client-0' in the cluster");
    first.sendPeerMessage('client-0', { type: 'probe' });
    expect(await mine.told()).toMatchObject({ from: { name: 'one' }, message: { type: 'probe' } });
  });

  test('no more than so many a second', async () => {
    cluster = await bootCluster(hosts);
    const [one, two] = [inbox(), inbox()];
    const first = await host('one', one);
    await host('two', two);
    const message: PeerMessage = { type: 'unpunchable', id: 1, reason: '' };
    const isRate = ({ reason }: { reason: string }) => reason === 'more than 4096 messages a second';
    // The seed reads 5,000 a second, after as many at once: more than may be sent on after some four seconds.
    for (const until = performance.now() + 50_000; !one.all.some(isRate) && performance.now() < until; ) {
      for (let i = 0; i < 8_000; i++) first.sendPeerMessage('two', message);
      await failure(first.locate('nobody', 1));
    }
    expect(one.all.some(isRate)).toBe(true);
    // What the other one has not read is bounded, too.
    const others = one.all.filter((undeliverable) => !isRate(undeliverable));
    expect(others.every(({ reason }) => reason.startsWith('it reads slowly'))).toBe(true);
  }, 60_000);

  test.each<[string, unknown]>([
    ['too many ports', { ...PUNCH, from: Array.from({ length: 65 }, (_, i) => i + 1) }],
    ['no ports', { ...PUNCH, from: [] }],
    ['a port that is none', { ...PUNCH, from: [70_000] }],
    ['a name for an address', { ...PUNCH, address: 'example.org' }],
    ['an unknown purpose', { ...PUNCH, purpose: { for: 'fun' } }],
    ['a secret that is too short', { ...PUNCH, purpose: { for: 'pool', secrets: 'AAAA' } }],
    ['an unknown type', { type: 'shout' }],
  ])('%s: the connection ends with what is wrong', async (_, message) => {
    cluster = await bootCluster(hosts);
    const frames: FromSeed[] = [];
    let control: Control | undefined;
    const refused = new Promise<FromSeed>((done) => {
      void openControl({
        ...cluster.access('client'),
        onFrame: (frame) => {
          frames.push(frame);
          if (frame.type === 'welcome') control!.send({ type: 'peerMessage', to: 'one', message } as ToSeed);
          if (frame.type === 'refuse') done(frame);
        },
      }).then((opened) => {
        control = opened;
        opened.send({ type: 'join', ports: [] });
      });
    });
    expect(await refused).toMatchObject({ reason: expect.stringMatching(/^a 'peerMessage' frame: message/) });
  });
});

describe('the data port', () => {
  test('connects two members that the seed gave tokens', async () => {
    cluster = await bootCluster(hosts);
    const [one, two] = [inbox(), inbox()];
    const first = await host('one', one);
    await host('two', two);
    const { dataPort } = first.welcome;
    expect(dataPort).toBe(cluster.seed.dataPort);
    const token = await first.relay('two', RELAY);
    const { from, token: theirs, message } = await two.relayed();
    expect(from.name).toBe('one');
    expect(message).toEqual(RELAY);
    expect(theirs).not.toBe(token);
    const a = dial(dataPort, token);
    const b = dial(dataPort, theirs);
    expect(await once(a, 'data')).toEqual([Buffer.from([1])]);
    expect(await once(b, 'data')).toEqual([Buffer.from([1])]);
    a.write('hello');
    expect(String((await once(b, 'data'))[0])).toBe('hello');
    expect((await cluster.event('two', 'relay-started')).detail).toEqual({ from: 'one' });
    a.resetAndDestroy();
    expect((await cluster.event('two', 'relay-ended')).detail).toMatchObject({ from: 'one', sent: 5, received: 0 });
  });

  test.each(['host whose epoch has ended', 'client that does not come back'])(
    'a %s: its connections are reset, after what it had sent has arrived',
    async (which) => {
      cluster = await bootCluster(hosts, { lostAfter: 500 });
      const [one, two] = [inbox(), inbox()];
      const isHost = which.startsWith('host');
      const first = await (isHost ? host('one', one) : cluster.client(one.options));
      await host('two', two);
      const token = await first.relay('two', RELAY);
      const { token: theirs } = await two.relayed();
      const { dataPort } = first.welcome;
      const [a, b] = [dial(dataPort, token), dial(dataPort, theirs)];
      await Promise.all([once(a, 'data'), once(b, 'data')]);
      let heard = '';
      b.on('data', (data) => (heard += data));
      const ended = once(b, 'error');
      a.write('the last words');
      if (isHost) await first.leave({ outcome: 'released' });
      else first.close();
      expect((await ended)[0].code).toBe('ECONNRESET');
      expect(heard).toBe('the last words');
      expect((await cluster.event('two', 'relay-ended')).detail).toMatchObject({ error: 'Connection timed out' });
    },
    40_000,
  );

  test.each(['requested', 'was to come for'])(
    'a host that ends: who waits for what it %s is reset at once',
    async (how) => {
      cluster = await bootCluster(hosts);
      const [one, two] = [inbox(), inbox()];
      const [first, second] = [await host('one', one), await host('two', two)];
      const token = await first.relay('two', RELAY);
      const { token: theirs } = await two.relayed();
      const [ends, waits] = how === 'requested' ? [first, theirs] : [second, token];
      const waiting = dial(first.welcome.dataPort, waits);
      await once(waiting, 'connect');
      const reset = once(waiting, 'error');
      await ends.leave({ outcome: 'released' });
      expect((await reset)[0].code).toBe('ECONNRESET');
      // It may have come after the host had ended.
      const { detail } = await cluster.event('two', 'relay-unused');
      expect(detail).toEqual({ from: 'one', arrived: expect.any(Number) });
    },
    5_000, // half of what a token lasts
  );

  test('a member that refuses: the other side is reset at once, and no token is good any more', async () => {
    cluster = await bootCluster(hosts);
    const [one, two] = [inbox(), inbox()];
    const first = await host('one', one);
    const second = await host('two', two);
    const token = await first.relay('two', RELAY);
    const { token: theirs } = await two.relayed();
    const waiting = dial(first.welcome.dataPort, token);
    const reset = once(waiting, 'error');
    await once(waiting, 'connect');
    const begin = performance.now();
    second.refuseRelayed(theirs, 'no room');
    expect((await reset)[0].code).toBe('ECONNRESET');
    expect((await cluster.event('two', 'relay-unused')).detail).toMatchObject({ from: 'one' });
    // Tokens expire after 10 s.
    expect(performance.now() - begin).toBeLessThan(5_000);
    expect((await once(dial(first.welcome.dataPort, theirs), 'error'))[0].code).toBe('ECONNRESET');
    // A token that nobody has given, or that was used, changes nothing.
    second.refuseRelayed(theirs, 'no room');
    expect(await failure(second.locate('nobody', 1))).toMatchObject({ errno: 'EHOSTUNREACH' });
  });

  test('its connections end with the seed', async () => {
    cluster = await bootCluster(hosts);
    const [one, two] = [inbox(), inbox()];
    const first = await host('one', one);
    await host('two', two);
    const token = await first.relay('two', RELAY);
    const { token: theirs } = await two.relayed();
    const both = [dial(first.welcome.dataPort, token), dial(first.welcome.dataPort, theirs)];
    await Promise.all(both.map((socket) => once(socket, 'data')));
    const ends = both.map((socket) => once(socket, 'error'));
    await cluster.restartSeed();
    for (const end of ends) expect((await end)[0].code).toBe('ECONNRESET');
  });

  test('garbage is a line in the log', async () => {
    cluster = await bootCluster(hosts);
    const socket = connect({ port: cluster.seed.dataPort, host: '127.0.0.1' });
    socket.write('GET / HTTP/1.1\r\n\r\n');
    const [error] = await once(socket, 'error');
    expect(error.code).toBe('ECONNRESET');
    await failure((await cluster.client()).locate('nobody', 1));
    expect(cluster.logs.filter((line) => line.includes('data port were reset'))).toHaveLength(1);
  });

  test('without a connection to the seed there is no relay', async () => {
    cluster = await bootCluster(hosts);
    const client = await cluster.client();
    await cluster.seed.stop();
    const ended = failure(client.relay('one', RELAY));
    expect((await ended).errno).toBe('ENETUNREACH');
  });
});

describe('the NAT report', () => {
  const found = {
    kind: 'port-preserving',
    reflexiveAddress: '203.0.113.9',
    localAddress: '10.0.0.7',
    ports: [1, 1],
  } as NatReport;

  test('is told with the location; the address and the ports in it are the seed’s word', async () => {
    cluster = await bootCluster(hosts);
    const first = await cluster.client({
      join: () => ({ host: 'one', ports: [{ port: 80, realPort: 80, scope: 'any' }] }),
    });
    const { ports } = first.welcome;
    const client = await cluster.client();
    expect((await client.locate('one', 80)).location.nat).toMatchObject({ kind: 'unknown' });
    first.reportNat(found);
    const nat = { kind: 'port-preserving', reflexiveAddress: '127.0.0.1', localAddress: '10.0.0.7', ports };
    expect((await cluster.event('one', 'reachable')).detail).toMatchObject({
      nat: 'port-preserving',
      local: '10.0.0.7',
    });
    expect((await (await cluster.client()).locate('one', 80)).location.nat).toEqual(nat);
    expect(client.told.at(-1)?.nat).toEqual(nat);
  });

  test('may come with the join', async () => {
    cluster = await bootCluster(hosts);
    await cluster.client({
      join: () => ({ host: 'one', ports: [{ port: 80, realPort: 80, scope: 'any' }], nat: found }),
    });
    const { location } = await (await cluster.client()).locate('one', 80);
    expect(location.nat).toMatchObject({ kind: 'port-preserving', reflexiveAddress: '127.0.0.1' });
  });
});

describe('ports to punch from', () => {
  test('differ among members at one address; when there are no more, some share, and the log says so', async () => {
    cluster = await bootCluster(hosts);
    const clients: Array<Awaited<ReturnType<Cluster['client']>>> = [];
    for (let i = 0; i < 32; i++) clients.push(await cluster.client());
    const firsts = clients.map(({ welcome }) => welcome.ports[0]).sort((a, b) => a - b);
    expect(firsts).toEqual(Array.from({ length: 32 }, (_, i) => 10_240 + 704 * i));
    expect(clients[0].welcome.ports[1]).toBe(704);
    const warning = 'more than 32 members at 127.0.0.1: some of them share ports';
    expect(cluster.logs.some((line) => line.includes(warning))).toBe(false);
    const [extra] = [await cluster.client()];
    expect(firsts).toContain(extra.welcome.ports[0]);
    expect(cluster.logs.some((line) => line.includes(warning))).toBe(true);
    // Who leaves leaves its ports.
    const free = clients[5].welcome.ports[0];
    extra.close();
    await clients[5].leave({ outcome: 'exited' });
    await failure(clients[0].locate('nobody', 1));
    expect((await cluster.client()).welcome.ports[0]).toBe(free);
  });

  test('observed: where the seed sees a member', async () => {
    cluster = await bootCluster(hosts);
    const { welcome } = await cluster.client({ source: '127.0.0.5' });
    expect(welcome.observed).toBe('127.0.0.5');
    expect(welcome.observedPort).toBeGreaterThan(0);
  });
});
