/** UDP ports of other hosts, stood in for by real sockets. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { parseAddress } from '../../../../src/contract/manifest/address';
import type { Datagram } from '../../../../src/contract/peer/datagram';
import { createGuard } from '../../../../src/runtime/control/guard';
import { createUdpProxies, type UdpProxies } from '../../../../src/runtime/supervisor/datagrams/udp-proxies';
import type { OwnPort } from '../../../../src/runtime/supervisor/sockets/locations';

const ALIASES = 246;
const SELF = parseAddress('100.64.1.1')!;
const OTHER = parseAddress('100.64.1.2')!;

let udpProxies: UdpProxies;
let guest: Socket;
let ports: OwnPort[];
let sent: Array<{ address: number; datagram: Datagram }>;
let wake: () => void;
const log: string[] = [];

beforeEach(async () => {
  sent = [];
  ports = [];
  log.length = 0;
  udpProxies = createUdpProxies({
    guard: createGuard((_, message) => void log.push(message)),
    aliases: ALIASES,
    self: SELF,
    ownPorts: () => ports,
    send: (address, datagram) => {
      sent.push({ address, datagram });
      wake?.();
    },
    log: (_, message) => void log.push(message),
  });
  guest = createSocket('udp4');
  guest.bind(0, `127.${ALIASES}.1.1`);
  await once(guest, 'listening');
});
afterEach(() => {
  udpProxies.close();
  guest.close();
});

const nextSent = async () => {
  if (sent.length === 0) await new Promise<void>((done) => (wake = done));
  return sent.shift()!;
};

test('what a guest sends to one is for the host that it stands for, from the port that the guest has', async () => {
  expect(await udpProxies.open(OTHER, 8_125)).toEqual({ real: parseAddress(`127.${ALIASES}.1.2`), realPort: 8_125 });
  guest.send('hello', 8_125, `127.${ALIASES}.1.2`);
  const { address, datagram } = await nextSent();
  expect(address).toBe(OTHER);
  expect({ ...datagram, data: String(datagram.data) }).toEqual({
    sourcePort: guest.address().port,
    port: 8_125,
    data: 'hello',
  });
});

test('what comes from there has its source, and the answer goes back', async () => {
  const { port } = guest.address();
  udpProxies.deliver(OTHER, { sourcePort: 40_000, port, data: Buffer.from('question') });
  const [message, from] = await once(guest, 'message');
  expect(String(message)).toBe('question');
  expect(from).toMatchObject({ address: `127.${ALIASES}.1.2`, port: 40_000 });
  guest.send('answer', from.port, from.address);
  expect((await nextSent()).datagram).toMatchObject({ sourcePort: port, port: 40_000 });
});

test('ports that guests know by another number', async () => {
  const { port: realPort } = guest.address();
  const real = parseAddress(`127.${ALIASES}.1.1`)!;
  ports = [{ port: 53, real, realPort, scope: 'any', protocol: 'udp' }];
  udpProxies.deliver(OTHER, { sourcePort: 100, port: 53, data: Buffer.from('name') });
  const [, from] = await once(guest, 'message');
  // Not 100: that port cannot be bound on Lambda.
  expect(from.port).toBeGreaterThan(1_024);
  guest.send('answer', from.port, from.address);
  expect((await nextSent()).datagram).toMatchObject({ sourcePort: 53, port: 100 });
});

test('what is not from a guest here is not handoff', async () => {
  await udpProxies.open(OTHER, 8_125);
  const stranger = createSocket('udp4');
  stranger.bind(0, '127.0.0.1');
  await once(stranger, 'listening');
  stranger.send('not from here', 8_125, `127.${ALIASES}.1.2`);
  guest.send('from here', 8_125, `127.${ALIASES}.1.2`);
  expect(String((await nextSent()).datagram.data)).toBe('from here');
  expect(sent).toHaveLength(0);
  stranger.close();
});

test('a datagram of any size: none, and the largest', async () => {
  await udpProxies.open(OTHER, 8_125);
  for (const size of [0, 65_507]) {
    guest.send(Buffer.alloc(size, 'x'), 8_125, `127.${ALIASES}.1.2`);
    expect((await nextSent()).datagram.data).toHaveLength(size);
  }
});

test('at most so many; the one used least recently makes room, and comes back when it is used', async () => {
  for (let port = 20_000; port < 20_200; port++) await udpProxies.open(OTHER, port);
  guest.send('still there', 20_199, `127.${ALIASES}.1.2`);
  expect((await nextSent()).datagram.port).toBe(20_199);
  const free = createSocket('udp4');
  free.bind(20_000, `127.${ALIASES}.1.2`);
  await once(free, 'listening');
  expect(await udpProxies.open(OTHER, 20_000)).toBeUndefined();
  expect(log).toEqual([expect.stringContaining('EADDRINUSE')]);
  await new Promise<void>((done) => free.close(done));
  expect(await udpProxies.open(OTHER, 20_000)).toBeDefined();
});
