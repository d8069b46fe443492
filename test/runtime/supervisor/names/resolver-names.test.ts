/**
 * What the resolver answers by itself: every record type × every kind of name, over UDP and TCP, and nobody else is
 * asked.
 */
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

const ADDRESS = '127.53.8.1';
const IDENTITY = {
  cluster: 'shop',
  cidr: '100.64.0.0/16',
  self: { name: 'client-5', address: '100.64.255.5', nodeId: 9, epoch: 0 },
  directory: [
    { name: 'web', address: '100.64.0.2', aliases: ['www'], nodeId: 1 },
    { name: 'api', address: '100.64.0.3', aliases: ['front.api'], nodeId: 2 },
    // The name that the seed would give to the client with that number.
    { name: 'client-7', address: '100.64.0.4', aliases: [], nodeId: 3 },
  ],
};
const NUMBERS = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  HTTPS: 65,
  CAA: 257,
  ANY: 255,
};
type Kind = keyof typeof NUMBERS;
const TYPES = Object.keys(NUMBERS) as Kind[];

/** What there is of a name; `NXDOMAIN`: no such name; `outside`: the machine's nameserver is asked. */
type Known = Partial<Record<Kind, string>> | 'NXDOMAIN' | 'outside';
const LOCALHOST = { A: '127.0.0.1', AAAA: '::1' };
const mapped = (address: string) =>
  [...Buffer.from(address.split('.').map(Number)).toString('hex')].reverse().join('.') +
  `.f.f.f.f${'.0'.repeat(20)}.ip6.arpa`;
const KINDS: readonly [string, Known][] = [
  ['web', { A: '100.64.0.2' }],
  ['WWW.Shop', { A: '100.64.0.2' }],
  ['node-1', { A: '100.64.0.2' }],
  ['front.api', { A: '100.64.0.3' }],
  ['client-5', { A: '100.64.255.5' }],
  ['client-0', { A: '100.64.255.0' }],
  ['client-254.shop', { A: '100.64.255.254' }],
  ['client-7', { A: '100.64.0.4' }],
  ['client-7-x', { A: '100.64.255.7' }],
  ['localhost', LOCALHOST],
  ['a.b.LocalHost', LOCALHOST],
  ['_x._tcp.web', 'NXDOMAIN'],
  ['foo.web', 'NXDOMAIN'],
  ['other.api', 'NXDOMAIN'],
  ['foo.web.shop', 'NXDOMAIN'],
  ['_x._udp.node-1', 'NXDOMAIN'],
  ['foo.client-9', 'NXDOMAIN'],
  ['2.0.64.100.in-addr.arpa', { PTR: 'web' }],
  ['7.255.64.100.in-addr.arpa', { PTR: 'client-7-x' }],
  ['5.255.64.100.in-addr.arpa', { PTR: 'client-5' }],
  ['9.255.64.100.in-addr.arpa', { PTR: 'client-9' }],
  ['1.0.0.127.in-addr.arpa', { PTR: 'localhost' }],
  [mapped('100.64.0.2'), { PTR: 'web' }],
  [`1${'.0'.repeat(31)}.ip6.arpa`, { PTR: 'localhost' }],
  ['64.100.in-addr.arpa', {}],
  ['3.64.100.in-addr.arpa', {}],
  ['99.3.64.100.in-addr.arpa', 'NXDOMAIN'],
  ['255.255.64.100.in-addr.arpa', 'NXDOMAIN'],
  ['x.2.0.64.100.in-addr.arpa', 'NXDOMAIN'],
  ['9.9.0.127.in-addr.arpa', 'NXDOMAIN'],
  [mapped('100.64.77.1'), 'NXDOMAIN'],
  ['100.in-addr.arpa', 'outside'],
  ['2.0.65.100.in-addr.arpa', 'outside'],
  ['02.0.64.100.in-addr.arpa', 'outside'],
  ['2.0.64.100.ip6.arpa', 'outside'],
  ['nosuch', 'outside'],
  ['client-255', 'outside'],
  ['client-05', 'outside'],
  ['nosuch.shop', 'outside'],
  ['web.example', 'outside'],
  ['myweb', 'outside'],
  ['localhost.example', 'outside'],
];

let folder: string;
let resolver: ResolverServer;
let asked = 0;
let outsideUdp: UdpSocket;
let outsideTcp: Server;

/** The machine's nameserver: refuses whatever it is asked, which nobody else here does. */
const refuse = (message: Buffer) => {
  asked += 1;
  return dns.encode({ type: 'response', id: message.readUInt16BE(0), flags: 5 });
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-resolver-'));
  outsideTcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on(
      'data',
      frames((message) => socket.write(framed(refuse(message)))),
    );
  });
  outsideTcp.listen(0, '127.53.8.2');
  await once(outsideTcp, 'listening');
  const { port } = outsideTcp.address() as AddressInfo;
  outsideUdp = createSocket('udp4');
  outsideUdp.on('message', (message, from) => outsideUdp.send(refuse(message), from.port, from.address));
  outsideUdp.bind(port, '127.53.8.2');
  await once(outsideUdp, 'listening');
  const resolvConf = join(folder, 'resolv.conf');
  writeFileSync(resolvConf, 'nameserver 127.53.8.2\n');
  resolver = await openResolverServer({
    identity: IDENTITY,
    guard: createGuard(() => undefined),
    address: ADDRESS,
    resolvConf,
    port,
  });
});
afterAll(() => {
  resolver?.close();
  outsideUdp?.close();
  outsideTcp?.close();
  rmSync(folder, { recursive: true });
});

/** All of a name's questions at once; replies by number. */
async function overUdp(messages: readonly Buffer[]): Promise<Map<number, dns.DecodedPacket>> {
  const replies = new Map<number, dns.DecodedPacket>();
  const socket = createSocket('udp4');
  socket.connect(resolver.udpPort, ADDRESS);
  await once(socket, 'connect');
  const all = new Promise<void>((done) =>
    socket.on('message', (reply) => {
      replies.set(reply.readUInt16BE(0), dns.decode(reply));
      if (replies.size === messages.length) done();
    }),
  );
  for (const message of messages) socket.send(message);
  await all;
  socket.close();
  return replies;
}
async function overTcp(messages: readonly Buffer[]): Promise<Map<number, dns.DecodedPacket>> {
  const replies = new Map<number, dns.DecodedPacket>();
  const socket = connect(resolver.tcpPort, ADDRESS);
  const all = new Promise<void>((done, fail) => {
    socket.on('error', fail);
    socket.on(
      'data',
      frames((reply) => {
        replies.set(reply.readUInt16BE(0), dns.decode(reply));
        if (replies.size === messages.length) done();
      }),
    );
  });
  socket.write(Buffer.concat(messages.map(framed)));
  await all;
  socket.destroy();
  return replies;
}

/** By the numbers of the types, some of which the codec has no name for. */
function query(name: string, type: number): Buffer {
  const message = dns.encode({ type: 'query', id: type, questions: [{ type: 'A', name }] });
  message.writeUInt16BE(type, message.length - 4);
  return message;
}

describe.each([
  ['UDP', overUdp],
  ['TCP', overTcp],
] as const)('over %s', (_, ask) => {
  test.each(KINDS)('%s: %j', async (name, known) => {
    const before = asked;
    const replies = await ask(TYPES.map((type) => query(name, NUMBERS[type])));
    const got = TYPES.map((type) => {
      const { rcode, flag_aa, answers } = replies.get(NUMBERS[type])! as dns.DecodedPacket & { rcode: string };
      return [type, rcode, flag_aa, answers?.map((answer) => `${answer.type} ${(answer as dns.StringAnswer).data}`)];
    });
    const expected = TYPES.map((type) => {
      if (known === 'outside') return [type, 'REFUSED', false, []];
      if (known === 'NXDOMAIN') return [type, 'NXDOMAIN', true, []];
      const records = Object.entries(known).filter(([has]) => has === type || type === 'ANY');
      return [type, 'NOERROR', true, records.map(([has, data]) => `${has} ${data}`)];
    });
    expect(got).toEqual(expected);
    expect(asked - before).toBe(known === 'outside' ? TYPES.length : 0);
  });
});
