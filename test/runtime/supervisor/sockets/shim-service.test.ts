/** The shim service at the level of its datagrams, which come from a process that is no shim. */
import { spawn } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Location } from '../../../../src/contract/control/location';
import { parseAddress } from '../../../../src/contract/manifest/address';
import { loadNative } from '../../../../src/native/addon/load';
import { LocateError } from '../../../../src/runtime/control/index';
import { Member, type MemberSession } from '../../../../src/runtime/supervisor/run/member';
import { openRunDir } from '../../../../src/runtime/supervisor/run/run-dir';
import { readTable } from '../../../contract/abi/table-reader';

jest.setTimeout(20_000);

const self = { name: 'web', address: '100.64.0.5', nodeId: 0, epoch: 3 };
const directory = [
  { name: 'web', aliases: [], address: self.address, nodeId: 0 },
  { name: 'api', aliases: [], address: '100.64.0.6', nodeId: 1 },
];
const location: Location = {
  host: 'api',
  epoch: 10,
  state: 'running',
  address: '127.64.0.6',
  ports: [{ port: 80, realPort: 40_080, scope: 'any' }],
};

/** Sends each argument (hexadecimal) as a datagram with a reply socket; prints what comes back on each. */
const SENDER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ends = []
for message in sys.argv[2:]:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    socket.send_fds(s, [bytes.fromhex(message)], [theirs.fileno()])
    theirs.close()
    ends.append(mine)
for end in ends: print(end.recv(100).hex() or 'closed')
`;

let folder: string;
let member: Member;
let log: string[];
let asked: string[];
let used: string[];
let ports: string[];
let answer: (host: string) => Promise<{ location: Location; realPort: number }>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-service-'));
  log = [];
  asked = [];
  used = [];
  ports = [];
  answer = async () => ({ location, realPort: 40_080 });
  const native = loadNative();
  member = new Member({
    native,
    runDir: await openRunDir(folder, native),
    welcome: {
      type: 'welcome',
      directoryDigest: 'digest',
      ...{ cluster: 'test', cidr: '100.64.0.0/16', self, directory },
      ...{ observed: '127.0.0.1', observedPort: 1, dataPort: 2, ports: [10_240, 704] },
    },
    flat: 64,
    settleTime: 1_000,
    asClient: false,
    log: (_, message) => log.push(message),
  });
  const session: MemberSession = {
    observation: undefined,
    report: () => undefined,
    reconnect: () => undefined,
    reportNat: () => undefined,
    watch: () => undefined,
    used: (host, epoch) => void used.push(`${host} ${epoch}`),
    data: () => undefined,
    services: { use: () => undefined, load: () => undefined, chosen: () => undefined },
    sendPeerMessage: () => false,
    relay: () => Promise.reject(new Error('there is no relay here')),
    refuseRelayed: () => undefined,
    knock: () => undefined,
    locate: (host, port, options) => {
      asked.push(`${host}:${port}${options?.staleEpoch === undefined ? '' : ` not ${options.staleEpoch}`}`);
      return answer(host);
    },
    ports: (now) => ports.push(now.map((p) => `${p.port}→${p.realPort}`).join(' ')),
  };
  member.attach(session);
});
afterEach(() => {
  member.close();
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
});

interface Fields {
  readonly address?: string;
  readonly port?: number;
  readonly realPort?: number;
  readonly real?: string;
  readonly scope?: number;
  readonly epoch?: number;
  readonly pid?: number;
  readonly text?: string;
}
function request(op: number, fields: Fields): Buffer {
  const message = Buffer.concat([Buffer.alloc(64), Buffer.from(fields.text ?? '')]);
  message.writeUInt32LE(0x51524d49, 0);
  message.writeUInt16LE(1, 4);
  message.writeUInt16LE(op, 6);
  message.writeUInt32LE(fields.pid ?? process.pid, 8);
  message.writeUInt32LE(parseAddress(fields.address ?? '0.0.0.0')!, 24);
  message.writeUInt16LE(fields.port ?? 0, 28);
  message.writeUInt16LE(fields.realPort ?? 0, 30);
  message.writeUInt32LE(parseAddress(fields.real ?? '0.0.0.0')!, 32);
  message.writeUInt32LE(fields.scope ?? 0, 36);
  message.writeBigUInt64LE(BigInt(fields.epoch ?? 0), 40);
  return message;
}
const connect = (address: string, port: number, more: Fields = {}) => request(1, { address, port, ...more });

/** What comes back for each: an errno, `address:port` (in hexadecimal), or `closed`. */
function send(...messages: Buffer[]): Promise<string[]> {
  const command = ['-c', SENDER, join(folder, 'shim.sock'), ...messages.map((m) => m.toString('hex'))];
  const sender = spawn('/usr/bin/python3', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  sender.stdout.on('data', (chunk) => (text += chunk));
  return new Promise((done) => {
    sender.once('close', () => {
      const replies = text.trim().split('\n');
      done(
        replies.map((line) => {
          if (line === 'closed') return line;
          const reply = Buffer.from(line, 'hex');
          const status = reply.readInt32LE(4);
          return status !== 0 ? String(status) : `${reply.readUInt32LE(8).toString(16)}:${reply.readUInt16LE(12)}`;
        }),
      );
    });
  });
}

test('a connect is answered with where the host is, from then on without asking', async () => {
  expect(await send(connect('100.64.0.6', 80), connect('100.64.0.6', 80))).toEqual([
    '7f400006:40080',
    '7f400006:40080',
  ]);
  expect(asked).toEqual(['api:80']);
  expect(await send(connect('100.64.0.6', 80))).toEqual(['7f400006:40080']);
  expect(asked).toEqual(['api:80']);
});

const there = connect('100.64.0.6', 80);

test('a host that the seed expects guests to connect to is not located, and the seed is told once', async () => {
  member.locations.apply(location);
  member.expects('api', 10);
  expect(used).toEqual([]);
  expect(await send(there, there)).toEqual(['7f400006:40080', '7f400006:40080']);
  expect([asked, used]).toEqual([[], ['api 10']]);
});

test.each([
  ['the host has another epoch', () => member.locations.apply({ ...location, epoch: 11 }), [], 'api 10'],
  ['a guest was refused by it', () => member.locations.distrust('api', 10), ['api:80 not 10'], undefined],
  ['it sleeps', () => member.locations.apply({ ...location, state: 'suspended' }), ['api:80'], undefined],
  [
    'its epoch has ended',
    () => member.locations.apply({ ...location, state: 'imagined', ports: [] }),
    ['api:80'],
    undefined,
  ],
  ['the seed is another one', () => member.refresh(), ['api:80'], undefined],
] as const)('expected, and then %s', async (_name, change, located, told) => {
  member.locations.apply(location);
  member.expects('api', 10);
  change();
  expect(await send(there)).toEqual(['7f400006:40080']);
  expect([asked, used]).toEqual([located, told ? [told] : []]);
});

test('what is expected of an epoch that is not known, or not any more, comes to nothing', async () => {
  member.expects('api', 10);
  member.locations.apply({ ...location, epoch: 11 });
  member.expects('api', 10);
  await send(there);
  expect(used).toEqual([]);
});

test('a location that a guest could not connect to is asked for again', async () => {
  await send(connect('100.64.0.6', 80));
  await send(request(3, { address: '100.64.0.6', port: 80, epoch: 10 }), connect('100.64.0.6', 80));
  expect(asked).toEqual(['api:80', 'api:80 not 10']);
});

test('a location that refuses a guest is asked for once more: the end of its epoch may not be known yet', async () => {
  const [old, next] = [10, 11].map((epoch) => ({ location: { ...location, epoch }, realPort: 40_070 + epoch }));
  answer = async () => (asked.length < 2 ? old : next);
  expect(await send(connect('100.64.0.6', 80, { epoch: 10 }))).toEqual(['7f400006:40081']);
  expect(asked).toEqual(['api:80 not 10', 'api:80 not 10']);
});

test('a location that refuses a guest, and stays what it is, is answered', async () => {
  expect(await send(connect('100.64.0.6', 80, { epoch: 10 }))).toEqual(['7f400006:40080']);
  expect(asked).toEqual(['api:80 not 10', 'api:80 not 10']);
});

test('failures arrive as errnos', async () => {
  answer = async () => {
    throw new LocateError('ETIMEDOUT', 'too late');
  };
  expect(await send(connect('100.64.0.6', 80), connect('100.64.0.99', 80))).toEqual(['110', '113']);
  expect(log).toContain('api:80 cannot be connected to: too late');
});

test('the own address is never a matter for the seed', async () => {
  expect(await send(connect(self.address, 80))).toEqual(['111']);
  const listen = request(2, { port: 80, real: '127.64.0.5', realPort: 41_000, scope: 0 });
  const inside = request(2, { port: 81, real: '127.65.0.5', realPort: 81, scope: 2 });
  expect(await send(listen, inside)).toEqual(['0:0', '0:0']);
  expect(ports.at(-1)).toBe('80→41000');
  expect(await send(connect(self.address, 80), connect(self.address, 81))).toEqual(['7f400005:41000', '111']);
  expect(asked).toEqual([]);
});

test('the resolver is opened when a guest first asks for it, and is no port of the host', async () => {
  const table = () => readTable(new Uint8Array(readFileSync(join(folder, 'table'))).buffer);
  const rows = () =>
    table()
      .ports()
      .filter((row) => row.address === '127.0.53.53');
  expect(rows()).toEqual([]);
  expect(await send(connect('127.0.53.53', 53), connect('127.0.53.53', 53))).toEqual(['0:0', '0:0']);
  const [tcp, udp, ...more] = rows();
  expect(more).toEqual([]);
  expect(tcp).toMatchObject({ port: 53, real: '127.0.53.53', scope: 2 });
  expect(udp).toMatchObject({ port: 53, real: '127.0.53.53', scope: 6 });
  const resolver = new Resolver();
  resolver.setServers([`127.0.53.53:${udp.realPort}`]);
  expect(await resolver.resolve4('api.test')).toEqual(['100.64.0.6']);
  // A port of the host's own comes and goes beside it.
  await send(request(2, { port: 53, real: '127.65.0.5', realPort: 64_565, scope: 2 }));
  expect(rows()).toEqual([tcp, udp]);
  expect(ports.join('')).toBe('');
  expect(asked).toEqual([]);
});

test('a caller that has died is not waited for', async () => {
  answer = () => new Promise(() => undefined);
  const dead = spawn('true');
  await new Promise((done) => dead.once('close', done));
  expect(await send(connect('100.64.0.6', 80, { pid: dead.pid }))).toEqual(['110']);
  expect(member.locator.pending).toBe(0);
});

test('what a shim has to say is in the log; what is no request is dropped, and said once', async () => {
  const text = request(4, { text: 'the shim says hello' });
  expect(await send(text, Buffer.from('nonsense'), request(99, {}), connect(self.address, 1))).toEqual([
    'closed',
    'closed',
    'closed',
    '111',
  ]);
  expect(log).toContain('the shim says hello');
  expect(log.filter((line) => line.includes('not a request'))).toHaveLength(1);
});

test('when the host is stopped, those who wait are told', async () => {
  answer = () => new Promise(() => undefined);
  const waiting = send(connect('100.64.0.6', 80));
  while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
  member.locator.close('stopping');
  expect(await waiting).toEqual(['101']);
});
