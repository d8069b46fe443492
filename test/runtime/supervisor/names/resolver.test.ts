/** The resolver, asked over real sockets, in front of real nameservers of the test's own. */

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as dns from 'dns-packet';
import { createGuard } from '../../../../src/runtime/control/guard';
import { openResolverServer, type ResolverServer } from '../../../../src/runtime/supervisor/names/resolver-server';
import { framed, frames } from '../../../../src/runtime/supervisor/names/resolver-stream';
import { eventually } from '../../../support/eventually';

const ADDRESS = '127.53.7.1';
const web = { name: 'web', address: '100.64.0.2', aliases: ['www'], nodeId: 1 };
const api = { name: 'API', address: '100.64.0.3', aliases: [], nodeId: 2 };
const client = { name: 'client-1', address: '100.64.255.1', nodeId: 9, epoch: 0 };

let folder: string;
let resolver: ResolverServer | undefined;
let servers: Nameserver[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-resolver-'));
  servers = [];
});
afterEach(() => {
  resolver?.close();
  resolver = undefined;
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

interface Asked {
  readonly over: 'udp' | 'tcp';
  readonly query: dns.DecodedPacket;
  readonly port: number;
}
interface Nameserver {
  readonly address: string;
  readonly port: number;
  readonly asked: Asked[];
  /** Answers the last datagram, after all. */
  answer(behave: Behaviour): void;
  close(): void;
}
/** What a nameserver answers; nothing: it is silent. */
type Behaviour = (query: dns.DecodedPacket, over: 'udp' | 'tcp') => Buffer | undefined;

/** All at one port, as nameservers are. */
async function nameserver(address: string, behave: Behaviour): Promise<Nameserver> {
  const asked: Asked[] = [];
  const tcp: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on(
      'data',
      frames((message) => {
        const query = dns.decode(message);
        asked.push({ over: 'tcp', query, port: socket.remotePort! });
        const reply = behave(query, 'tcp');
        if (reply) socket.write(framed(reply));
      }),
    );
  });
  tcp.listen(servers[0]?.port ?? 0, address);
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  const udp: UdpSocket = createSocket('udp4');
  const answer = (by: Behaviour) => {
    const { query, port: from } = asked.filter(({ over }) => over === 'udp').pop()!;
    const reply = by(query, 'udp');
    if (reply) udp.send(reply, from, '127.0.0.1');
  };
  udp.on('message', (message, from) => {
    asked.push({ over: 'udp', query: dns.decode(message), port: from.port });
    answer(behave);
  });
  udp.bind(port, address);
  await once(udp, 'listening');
  const server = {
    address,
    port,
    asked,
    answer,
    close: () => {
      udp.close();
      tcp.close();
    },
  };
  servers.push(server);
  return server;
}

/** Says `address` for everything. */
const says =
  (address: string, more: Partial<dns.Packet> = {}): Behaviour =>
  ({ id, questions }) =>
    dns.encode({
      type: 'response',
      id,
      flags: dns.RECURSION_AVAILABLE,
      questions,
      answers: [{ type: 'A', name: questions![0].name, ttl: 300, data: address }],
      ...more,
    });
const fails =
  (rcode: number): Behaviour =>
  ({ id, questions }) =>
    dns.encode({ type: 'response', id, flags: rcode, questions });

const guard = createGuard(() => undefined);
async function start(port = servers[0]?.port ?? 1): Promise<ResolverServer> {
  const resolvConf = join(folder, 'resolv.conf');
  const lines = servers.map(({ address }) => `nameserver ${address}\n`).join('');
  writeFileSync(resolvConf, `# the machine's\nsearch example.com\n${lines || 'nameserver 127.53.7.99\n'}`);
  const identity = { cluster: 'shop', cidr: '100.64.0.0/16', self: client, directory: [web, api] };
  resolver = await openResolverServer({ identity, guard, address: ADDRESS, resolvConf, port });
  return resolver;
}

type Type = 'A' | 'AAAA' | 'PTR' | 'MX' | 'ANY';
let number = 0;
const query = (name: string, type: Type = 'A', more: Partial<dns.Packet> = {}) =>
  dns.encode({
    type: 'query',
    id: number++ % 0x10000,
    flags: dns.RECURSION_DESIRED,
    questions: [{ type: type as 'A', name }],
    ...more,
  });

async function overUdp(message: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4');
  try {
    socket.connect(resolver!.udpPort, ADDRESS);
    await once(socket, 'connect');
    socket.send(message);
    const [reply] = await once(socket, 'message');
    return reply;
  } finally {
    socket.close();
  }
}
/** In one write; as many answers. */
async function overTcp(...messages: Buffer[]): Promise<Buffer[]> {
  const socket = connect(resolver!.tcpPort, ADDRESS);
  const replies: Buffer[] = [];
  socket.write(Buffer.concat(messages.map(framed)));
  await new Promise<void>((done, fail) => {
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('closed')));
    socket.on(
      'data',
      frames((reply) => {
        replies.push(reply);
        if (replies.length === messages.length) done();
      }),
    );
  });
  socket.destroy();
  return replies;
}
const ask = async (name: string, type?: Type) => dns.decode(await overUdp(query(name, type)));
const datas = ({ answers }: dns.DecodedPacket) => answers?.map((answer) => (answer as dns.StringAnswer).data);

describe('the cluster', () => {
  beforeEach(() => start());

  test.each([
    ['web', web.address],
    ['WWW', web.address],
    ['web.shop', web.address],
    ['www.shop.', web.address],
    ['node-1', web.address],
    ['api', api.address],
    ['api.shop', api.address],
    ['client-1', client.address],
  ])('%s', async (name, address) => {
    const reply = await ask(name);
    expect(reply).toMatchObject({ rcode: 'NOERROR', flag_aa: true });
    expect(datas(reply)).toEqual([address]);
    const [stream] = await overTcp(query(name));
    expect(datas(dns.decode(stream))).toEqual([address]);
  });

  test('has addresses and names, and nothing else', async () => {
    expect(datas(await ask('2.0.64.100.in-addr.arpa', 'PTR'))).toEqual(['web']);
    expect(datas(await ask('3.0.64.100.in-addr.arpa', 'PTR'))).toEqual(['API']);
    expect(datas(await ask('1.255.64.100.in-addr.arpa', 'PTR'))).toEqual(['client-1']);
    expect(datas(await ask('web', 'ANY'))).toEqual([web.address]);
    for (const type of ['AAAA', 'MX', 'PTR'] as const) {
      expect(await ask('web', type)).toMatchObject({ rcode: 'NOERROR', flag_aa: true, answers: [] });
    }
    expect(await ask('2.0.64.100.in-addr.arpa')).toMatchObject({ rcode: 'NOERROR', answers: [] });
  });

  test('many questions in one connection', async () => {
    const messages = Array.from({ length: 500 }, (_, i) => query(i % 2 ? 'web' : 'api'));
    const replies = (await overTcp(...messages)).map((reply) => dns.decode(reply));
    expect(replies.map(({ id }) => id)).toEqual(messages.map((message) => message.readUInt16BE(0)));
    expect(replies.map((reply) => datas(reply)?.[0])).toEqual(
      messages.map((_, i) => (i % 2 ? web.address : api.address)),
    );
  });

  test('what is no question is answered as such', async () => {
    const broken = query('web').subarray(0, 15);
    expect(dns.decode(await overUdp(broken))).toMatchObject({ rcode: 'FORMERR', questions: [] });
    const [reply] = await overTcp(broken);
    expect(dns.decode(reply)).toMatchObject({ rcode: 'FORMERR', id: broken.readUInt16BE(0) });
  });
});

describe('all else', () => {
  test("is asked of the machine's nameserver, under another number, and as it is", async () => {
    const server = await nameserver('127.53.7.2', says('192.0.2.1', { flags: dns.RECURSION_AVAILABLE }));
    await start();
    const optional = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: dns.DNSSEC_OK, options: [] };
    const additionals = [optional as unknown as dns.OptAnswer];
    const messages = Array.from({ length: 20 }, () => query('Example.COM', 'A', { additionals }));
    const replies = (await Promise.all(messages.map(overUdp))).map((reply) => dns.decode(reply));
    expect(replies.map(({ id }) => id)).toEqual(messages.map((message) => message.readUInt16BE(0)));
    expect(replies.map(datas)).toEqual(messages.map(() => ['192.0.2.1']));
    expect(replies[0]).toMatchObject({ flag_aa: false, questions: [{ name: 'Example.COM' }] });
    expect(server.asked).toHaveLength(20);
    for (const { over, query: seen } of server.asked) {
      expect(over).toBe('udp');
      expect(seen).toMatchObject({ questions: [{ name: 'Example.COM' }], additionals: [{ udpPayloadSize: 4096 }] });
    }
    expect(new Set(server.asked.map(({ port }) => port)).size).toBeGreaterThan(15);
    expect(new Set(server.asked.map(({ query: { id } }) => id)).size).toBeGreaterThan(15);
    expect(resolver!.pending).toBe(0);
  });

  test('a truncated answer is passed on, and the question over TCP is asked over TCP', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `192.0.2.${i}`);
    const server = await nameserver('127.53.7.2', ({ id, questions }, over) => {
      const answers = names.map((data) => ({ type: 'A', name: 'big.example', ttl: 1, data }) as dns.StringAnswer);
      if (over === 'udp') return dns.encode({ type: 'response', id, flags: dns.TRUNCATED_RESPONSE, questions });
      return dns.encode({ type: 'response', id, questions, answers });
    });
    await start();
    expect(await ask('big.example')).toMatchObject({ flag_tc: true, answers: [] });
    const [reply] = await overTcp(query('big.example'));
    expect(reply.length).toBeGreaterThan(512);
    expect(datas(dns.decode(reply))).toEqual(names);
    expect(server.asked.map(({ over }) => over)).toEqual(['udp', 'tcp']);
  });

  test('the answer of a server that is refused or unwilling is not the last word', async () => {
    await nameserver('127.53.7.2', fails(2));
    await nameserver('127.53.7.3', says('192.0.2.3'));
    await start();
    expect(datas(await ask('a.example'))).toEqual(['192.0.2.3']);
    const [reply] = await overTcp(query('a.example'));
    expect(datas(dns.decode(reply))).toEqual(['192.0.2.3']);
  });

  test('a silent server is not waited for alone', async () => {
    await nameserver('127.53.7.2', () => undefined);
    const second = await nameserver('127.53.7.3', says('192.0.2.3'));
    await start();
    expect(datas(await ask('a.example'))).toEqual(['192.0.2.3']);
    expect(second.asked).toHaveLength(1);
  });

  test('what a server says late still counts', async () => {
    const first = await nameserver('127.53.7.2', () => undefined);
    await nameserver('127.53.7.3', () => {
      first.answer(says('192.0.2.2'));
      return undefined;
    });
    await start();
    expect(datas(await ask('a.example'))).toEqual(['192.0.2.2']);
    expect(first.asked).toHaveLength(1);
  });

  test("a name that does not exist is not asked twice; a lone server's refusal is passed on", async () => {
    const first = await nameserver('127.53.7.2', fails(3));
    const second = await nameserver('127.53.7.3', fails(5));
    await start();
    expect(await ask('a.example')).toMatchObject({ rcode: 'NXDOMAIN' });
    expect([first.asked.length, second.asked.length]).toEqual([1, 0]);
    resolver!.close();
    servers.shift();
    await start();
    expect(await ask('a.example')).toMatchObject({ rcode: 'REFUSED' });
    first.close();
  });

  test('forged answers do not count', async () => {
    const forger = createSocket('udp4');
    const server = await nameserver('127.53.7.2', () => undefined);
    await start();
    const reply = ask('a.example');
    const wrong = says('203.0.113.1');
    await eventually(() => server.asked.length > 0);
    const [{ query: asked, port }] = server.asked;
    server.answer((query) => wrong({ ...query, id: query.id! ^ 1 }, 'udp'));
    server.answer((query) => wrong({ ...query, questions: [{ type: 'A', name: 'b.example' }] }, 'udp'));
    server.answer((query) => dns.encode({ ...query, type: 'query' }));
    await new Promise((done) => forger.send(wrong(asked, 'udp')!, port, '127.0.0.1', done));
    forger.close();
    server.answer(says('192.0.2.1'));
    expect(datas(await reply)).toEqual(['192.0.2.1']);
  });

  test('nobody answers: SERVFAIL', async () => {
    await nameserver('127.53.7.2', () => undefined);
    const { port } = servers[0];
    await start(port);
    const open = Promise.all([overUdp(query('a.example')), overTcp(query('a.example'))]);
    const [datagram, [stream]] = await open;
    expect(dns.decode(datagram)).toMatchObject({ rcode: 'SERVFAIL', questions: [{ name: 'a.example' }] });
    expect(dns.decode(stream)).toMatchObject({ rcode: 'SERVFAIL' });
    // Three attempts each.
    expect(servers[0].asked.map(({ over }) => over).sort()).toEqual(['tcp', 'tcp', 'tcp', 'udp', 'udp', 'udp']);
  });

  test('a port that is closed: SERVFAIL at once', async () => {
    await start(1);
    expect(await ask('a.example')).toMatchObject({ rcode: 'SERVFAIL' });
    const [reply] = await overTcp(query('a.example'));
    expect(dns.decode(reply)).toMatchObject({ rcode: 'SERVFAIL' });
  });

  test('no more than so many questions are open at a time', async () => {
    const server = await nameserver('127.53.7.2', () => undefined);
    await start();
    const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => overUdp(query(`n${i}.example`))));
    for (const reply of replies) expect(dns.decode(reply)).toMatchObject({ rcode: 'SERVFAIL' });
    const names = new Set(server.asked.map(({ query: { questions } }) => questions![0].name));
    expect(names.size).toBe(128);
    expect(resolver!.pending).toBe(0);
  }, 20_000); // each is given up after 4.5 s
});

test('an address that cannot be listened at is an error', async () => {
  await expect(
    openResolverServer({
      identity: { cluster: 'shop', cidr: '100.64.0.0/16', self: client, directory: [] },
      guard,
      address: '192.0.2.1',
      resolvConf: '/etc/resolv.conf',
      port: 53,
    }),
  ).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
});
