/** Clients from outside, stood in for by real sockets. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { aliasAddress, type PortRow } from '../../../../src/contract/abi/table';
import { decodeOutside, encodeOutside, type OutsideDatagram } from '../../../../src/contract/control/outside-datagram';
import { formatAddress, parseAddress } from '../../../../src/contract/manifest/address';
import { createGuard } from '../../../../src/runtime/control/guard';
import { OutsideClients } from '../../../../src/runtime/supervisor/datagrams/outside-clients';

const ALIASES = 245;
const SELF = parseAddress('100.64.1.1')!;
const CLIENT = parseAddress('203.0.113.7')!;
const ALIAS = formatAddress(aliasAddress(ALIASES, SELF));
/** Without the header of the frame: as a channel gives it. */
const FRAME = 5;

let clients: OutsideClients;
let guest: Socket;
let rows: readonly PortRow[];
let answers: OutsideDatagram[];
const log: string[] = [];

beforeEach(async () => {
  [rows, answers, log.length] = [[], [], 0];
  clients = new OutsideClients({
    aliases: ALIASES,
    self: SELF,
    guard: createGuard((_, message) => void log.push(message)),
    ownPorts: () => [],
    publish: (ports) => {
      rows = ports;
    },
    send: (bytes) => {
      answers.push(decodeOutside(bytes.subarray(FRAME)));
      guest.emit('answered');
    },
    log: (_, message) => void log.push(message),
  });
  guest = createSocket('udp4');
  guest.bind(0, ALIAS);
  await once(guest, 'listening');
});
afterEach(() => {
  clients.close();
  guest.close();
});

async function comes(data: string, { port = 5_000, idle = 60_000 } = {}): Promise<RemoteInfo> {
  const hostPort = guest.address().port;
  const datagram = { address: CLIENT, port, hostPort, idle, data: Buffer.from(data) };
  clients.deliver(encodeOutside(datagram).subarray(FRAME));
  const [text, from] = await once(guest, 'message');
  expect(String(text)).toBe(data);
  return from;
}

test('a client has a port at the alias that is nobody’s, which is listed before the guest hears of it; answers go back', async () => {
  const from = await comes('hello');
  expect(from.address).toBe(`127.${ALIASES}.0.0`);
  const real = aliasAddress(ALIASES, 0);
  expect(rows).toEqual([{ address: CLIENT, port: 5_000, real, realPort: from.port, scope: 'any', protocol: 'udp' }]);
  expect((await comes('again')).port).toBe(from.port);
  const answered = once(guest, 'answered');
  guest.send('answer', from.port, from.address);
  await answered;
  const hostPort = guest.address().port;
  expect(answers).toEqual([{ address: CLIENT, port: 5_000, hostPort, idle: 0, data: Buffer.from('answer') }]);
});

test('a client that is idle is forgotten, and its port is not listed any more', async () => {
  await comes('hello', { idle: 50 });
  while (rows.length > 0) await new Promise((again) => setTimeout(again, 5));
  expect(clients.size).toBe(0);
});

test('clients are bounded: the one that was used least recently makes room', async () => {
  for (let port = 1; port <= 256; port++) await comes('x', { port });
  await comes('still here', { port: 1 });
  await comes('new', { port: 1_000 });
  expect(clients.size).toBe(256);
  const ports = rows.map(({ port }) => port);
  expect(ports).toContain(1);
  expect(ports).toContain(1_000);
  expect(ports).not.toContain(2);
});

test('nobody but guests of this host can answer', async () => {
  const from = await comes('hello');
  const stranger = createSocket('udp4');
  stranger.bind(0, '127.0.0.1');
  await once(stranger, 'listening');
  stranger.send('forged', from.port, from.address);
  const answered = once(guest, 'answered');
  guest.send('real', from.port, from.address);
  await answered;
  stranger.close();
  expect(answers.map(({ data }) => String(data))).toEqual(['real']);
});

test('a frame that is too short costs nothing but a line of the log', async () => {
  clients.deliver(Buffer.alloc(11));
  expect(log).toHaveLength(1);
  expect((await comes('hello')).port).toBeGreaterThan(0);
});
