/**
 * A connect of a guest's has one deadline: the destination's allocationTimeout, from the guest's call on, whatever
 * happens.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Location } from '../../../../src/contract/control/location';
import { parseAddress } from '../../../../src/contract/manifest/address';
import { loadNative } from '../../../../src/native/addon/load';
import { type Located, LocateError } from '../../../../src/runtime/control/index';
import { Member, type MemberSession } from '../../../../src/runtime/supervisor/run/member';
import { openRunDir } from '../../../../src/runtime/supervisor/run/run-dir';
import { Locator } from '../../../../src/runtime/supervisor/sockets/locator';

jest.setTimeout(20_000);

const LIMIT = 1_500;
/** What a loaded machine may add: the old limit was 25 s. */
const SLACK = 2_500;
const ETIMEDOUT = 110;
const EHOSTUNREACH = 113;
const self = { name: 'web', address: '100.64.0.5', nodeId: 0, epoch: 3 };
const directory = [
  { name: 'web', aliases: [], address: self.address, nodeId: 0 },
  { name: 'api', aliases: [], address: '100.64.0.6', nodeId: 1, allocationTimeout: LIMIT },
];
const location: Location = {
  ...{ host: 'api', epoch: 10, state: 'running', address: '127.80.0.6' },
  ports: [{ port: 80, realPort: 40_080, scope: 'any' }],
};
/** It runs, and no transport of this network leads there. */
const nowhere: Location = { ...location, address: undefined };

/** Asks for port 80 of api, and again for the same socket with the epoch of the answer, as often as it is answered. */
const CALLER = `
import socket, struct, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
began = time.monotonic()
epoch = 0
while True:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    message = bytearray(64)
    struct.pack_into('<IHHI', message, 0, 0x51524d49, 1, 1, int(sys.argv[2]))
    struct.pack_into('<Q', message, 16, 77)
    struct.pack_into('<IH', message, 24, int(sys.argv[3]), 80)
    struct.pack_into('<Q', message, 40, epoch)
    socket.send_fds(s, [bytes(message)], [theirs.fileno()])
    theirs.close()
    reply = mine.recv(100)
    status = struct.unpack_from('<i', reply, 4)[0]
    if status: break
    epoch = int(sys.argv[4])
print(status, int((time.monotonic() - began) * 1000))
`;

let folder: string;
let member: Member;
let asked: Array<number | undefined>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-deadline-'));
  asked = [];
  const native = loadNative();
  member = new Member({
    native,
    runDir: await openRunDir(folder, native),
    welcome: {
      ...{ type: 'welcome', directoryDigest: 'digest', cluster: 'test', cidr: '100.64.0.0/16', self, directory },
      ...{ observed: '127.0.0.1', observedPort: 1, dataPort: 2, ports: [10_240, 704] },
    },
    ...{ flat: 80, settleTime: 1_000, asClient: false, log: () => undefined },
  });
});
afterEach(() => {
  member.close();
  rmSync(folder, { recursive: true });
});

type Ask = (attempt: number, since: number) => Promise<Located>;
const session = (answer: Ask): MemberSession => ({
  observation: undefined,
  report: () => undefined,
  reconnect: () => undefined,
  reportNat: () => undefined,
  used: () => undefined,
  watch: () => undefined,
  data: () => undefined,
  services: { use: () => undefined, load: () => undefined, chosen: () => undefined },
  sendPeerMessage: () => false,
  relay: () => Promise.reject(new Error('there is no relay here')),
  refuseRelayed: () => undefined,
  knock: () => undefined,
  ports: () => undefined,
  locate: (_host, _port, options) => {
    asked.push(options?.since);
    return answer(asked.length, options!.since!);
  },
});
const never = () => new Promise<never>(() => undefined);
const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** As the seed: the deadline counts from the guest's call. */
const timesOut = async (since: number) => {
  await after(since + LIMIT - performance.now());
  throw new LocateError('ETIMEDOUT', 'waited');
};

async function call(): Promise<{ status: number; took: number }> {
  const to = String(parseAddress('100.64.0.6')!);
  const args = ['-c', CALLER, join(folder, 'shim.sock'), String(process.pid), to, String(location.epoch)];
  const caller = spawn('/usr/bin/python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  caller.stdout.on('data', (chunk) => (text += chunk));
  await new Promise((done) => caller.once('close', done));
  const [status, took] = text.trim().split(' ').map(Number);
  return { status, took };
}

const cases: Array<[string, number, number, () => void]> = [
  ['the seed does not answer', ETIMEDOUT, LIMIT, () => member.attach(session(never))],
  ['there is no session', ETIMEDOUT, LIMIT, () => undefined],
  [
    'the control connection is lost time and again',
    ...([ETIMEDOUT, LIMIT] as const),
    () => {
      const attach = (): void => {
        member.attach(session(never));
        timer = setTimeout(() => {
          member.detach();
          timer = setTimeout(attach, 200);
        }, 200);
      };
      attach();
    },
  ],
  ['the seed says so', ETIMEDOUT, LIMIT, () => member.attach(session((_, since) => timesOut(since)))],
  [
    'no transport leads there',
    ...([EHOSTUNREACH, LIMIT - 500] as const),
    () => member.attach(session(async () => ({ location: nowhere, realPort: 40_080 }))),
  ],
  [
    'no transport leads there, after a long allocation',
    ...([EHOSTUNREACH, LIMIT - 600] as const),
    () =>
      member.attach(
        session(async (attempt, since) => {
          if (attempt === 1) await after(LIMIT - 600);
          else if (attempt > 2) await timesOut(since);
          return { location: nowhere, realPort: 40_080 };
        }),
      ),
  ],
  [
    'the destination has gone after the answer, and the seed waits for a new one',
    ...([ETIMEDOUT, LIMIT] as const),
    () =>
      member.attach(
        session(async (attempt, since) => {
          if (attempt > 1) return timesOut(since);
          await after(1_000);
          return { location, realPort: 40_080 };
        }),
      ),
  ],
];
let timer: NodeJS.Timeout | undefined;
afterEach(() => clearTimeout(timer));

test.each(cases)('%s', async (_name, errno, least, arrange) => {
  arrange();
  const { status, took } = await call();
  expect(status).toBe(errno);
  expect(took).toBeGreaterThan(least - 20);
  expect(took).toBeLessThan(LIMIT + SLACK);
  // Every ask of the call says when the guest has called.
  const [first] = asked;
  for (const since of asked) expect(since).toBe(first);
});

test('who asks for the same port later has a deadline of its own', async () => {
  const sent: Array<{ since?: number; reject(error: LocateError): void }> = [];
  const locator = new Locator();
  locator.use({ locate: (_h, _p, with_) => new Promise((_, reject) => sent.push({ since: with_?.since, reject })) });
  const ends: string[] = [];
  const waits = [100, 300, 200].map((since) =>
    locator.locate('api', 80, { since }).catch((error: LocateError) => void ends.push(`${since} ${error.errno}`)),
  );
  expect(sent.map(({ since }) => since)).toEqual([100]);
  sent[0].reject(new LocateError('ETIMEDOUT', 'waited'));
  await waits[0];
  expect(ends).toEqual(['100 ETIMEDOUT']);
  expect(sent.map(({ since }) => since)).toEqual([100, 200]);
  // Who has called earlier than those who wait is asked for at once.
  const early = locator
    .locate('api', 80, { since: 50 })
    .catch((error: LocateError) => void ends.push(`50 ${error.errno}`));
  expect(sent.at(-1)?.since).toBe(50);
  // Any other word of the seed's is for all.
  sent[2].reject(new LocateError('ECONNREFUSED', 'no'));
  await Promise.all([...waits, early]);
  expect(ends.slice(1).sort()).toEqual(['200 ECONNREFUSED', '300 ECONNREFUSED', '50 ECONNREFUSED']);
});
