/** A connection that is made ready for a guest that has not connected yet: two members with real connectors. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Location } from '../../../src/contract/control/location';
import { parseAddress } from '../../../src/contract/manifest/address';
import type { PeerMessage, Sender } from '../../../src/contract/peer/peer-messages';
import { createGuard } from '../../../src/runtime/control/guard';
import { openTransports, type Transports } from '../../../src/runtime/transport';
import { eventually } from '../../support/eventually';
import { python } from '../../support/guests';
import { native } from './members';

jest.setTimeout(30_000);

const HERE = '127.65.72.1';
const API = parseAddress('100.64.72.2')!;
const CONNECT_LISTED = [1, 2] as const;

/** A shim's connect to a port that its table lists; prints the status of the reply, and whether a connection came along. */
const GUEST = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.send_fds(s, [bytes.fromhex(sys.argv[2])], [theirs.fileno()])
theirs.close()
reply, fds, _, _ = socket.recv_fds(mine, 100, 1)
print(int.from_bytes(reply[4:8], 'little', signed=True), len(fds))
`;

let folder: string;
/** What 'web' has requested of 'api'. */
let requested: string[];
/** Hosts that guests of 'web' have taken a connection to that was made ahead. */
let used: number[];
let members: Record<'web' | 'api', Transports>;
let closeShims: () => void;

function open(poolMost = 256) {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-expected-'));
  requested = [];
  used = [];
  const make = (name: 'web' | 'api', index: number) => {
    const transports = openTransports({
      ...{
        native,
        aliasBase: parseAddress('127.66.72.0')!,
        flat: undefined,
        mayBeOpen: false,
        poolMost,
        guard: createGuard(() => undefined),
      },
      ...{ locationAt: () => undefined, onDatagram: () => undefined, onEvent: () => undefined },
      onExpected: (address) => void used.push(address),
    });
    const own = { address: HERE, port: 20_000 + 1_000 * index };
    const sender: Sender = { member: index, name, address: `100.64.72.${index}`, epoch: 7, addresses: [HERE] };
    const sendPeerMessage = (_to: unknown, message: PeerMessage) => {
      if (message.type === 'punch') requested.push(message.purpose.for);
      queueMicrotask(() => members[name === 'web' ? 'api' : 'web'].peerMessage(sender, message));
      return true;
    };
    transports.joined(
      {
        ...{ sendPeerMessage, relay: () => new Promise(() => undefined), reportNat: () => undefined },
        ...{ refuseRelayed: () => undefined, knock: () => undefined },
      },
      { local: own, observed: own, dataPort: { address: HERE, port: 1 }, ports: [own.port, 500] },
    );
    return transports;
  };
  members = { web: make('web', 1), api: make('api', 2) };
  const unanswered = (_message: Buffer, fds: readonly number[]) => fds.forEach(native.closeDescriptor);
  const shims = native.openShimSocket(join(folder, 'shim.sock'), unanswered, members.web.connector.native);
  closeShims = () => shims.close();
}
afterEach(() => {
  closeShims();
  members.web.close();
  members.api.close();
  rmSync(folder, { recursive: true });
});

const location: Location = {
  ...{ host: 'api', epoch: 7, state: 'running', ports: [{ port: 80, realPort: 40_080, scope: 'any' }] },
  nat: { kind: 'none', reflexiveAddress: HERE, localAddress: HERE, ports: [22_000, 500] },
};
const expectApi = () => members.web.expect({ location, address: API });
const ready = () => members.web.connector.ready(API);

async function connectGuest(): Promise<string> {
  const request = Buffer.alloc(64);
  const [op, flags] = CONNECT_LISTED;
  request.writeUInt32LE(0x51524d49, 0);
  request.writeUInt16LE(1, 4);
  request.writeUInt16LE(op, 6);
  request.writeUInt32LE(process.pid, 8);
  request.writeUInt32LE(flags, 12);
  request.writeUInt32LE(API, 24);
  request.writeUInt16LE(80, 28);
  const guest = spawn(python, ['-c', GUEST, join(folder, 'shim.sock'), request.toString('hex')], { stdio: 'pipe' });
  const [text] = await once(guest.stdout, 'data');
  return String(text).trim();
}

test('one is ready; the first guest takes it, and only then more is made, in its time', async () => {
  open();
  expectApi();
  await eventually(() => ready() === 1);
  expect([requested, used]).toEqual([['pool'], []]);
  expect(await connectGuest()).toBe('0 1');
  await eventually(() => used.length > 0);
  expect([requested, used, ready()]).toEqual([['pool'], [API], 0]);
  await eventually(() => requested.length > 1);
  expect(requested).toContain('peer-link');
  expect(used).toEqual([API]);
});

test('a guest that is too early waits for it', async () => {
  open();
  const { api } = members;
  let arrives: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    arrives = resolve;
  });
  members.api = {
    peerMessage: (...given: Parameters<Transports['peerMessage']>) => void held.then(() => api.peerMessage(...given)),
  } as Transports;
  expectApi();
  await eventually(() => requested.length === 1);
  const connected = connectGuest();
  // It is noticed when it begins to wait.
  await eventually(() => used.length === 1);
  arrives();
  expect(await connected).toBe('0 1');
  expect(requested).toEqual(['pool']);
  members.api = api;
});

test.each([
  ['the host is not where it was', () => members.web.drop(API)],
  ['the session has ended', () => members.web.left()],
])('%s: what was ready is dropped', async (_why, drop) => {
  open();
  expectApi();
  await eventually(() => ready() === 1);
  drop();
  expect([ready(), used]).toEqual([0, []]);
});

test('where none is to be kept ready, none is made', async () => {
  open(0);
  expectApi();
  expect([requested, ready()]).toEqual([[], 0]);
});
