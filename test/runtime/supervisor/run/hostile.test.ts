/**
 * What members, guests and the seed send, in all kinds, with each other's payloads, and spoiled: nothing of it is
 * thrown out of the handler that it came to, no promise is left rejected, and who is honest is served afterwards.
 */
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { IM_REQUEST_MAGIC } from '../../../../src/contract/abi/generated';
import { OP, REQUEST } from '../../../../src/contract/abi/shim';
import type { FromSeed } from '../../../../src/contract/control/from-seed';
import { packDirectory } from '../../../../src/contract/control/packed-directory';
import type { ToSeed } from '../../../../src/contract/control/to-seed';
import { parseAddress } from '../../../../src/contract/manifest/address';
import type { PeerMessage } from '../../../../src/contract/peer/peer-messages';
import type { NativeAddon } from '../../../../src/native/addon';
import { loadNative } from '../../../../src/native/addon/load';
import type { Channel } from '../../../../src/runtime/control/channel';
import { openControl } from '../../../../src/runtime/control/connection';
import { LocateError, openSession } from '../../../../src/runtime/control/index';
import { listenControl } from '../../../../src/runtime/control/server';
import { Member, type MemberSession } from '../../../../src/runtime/supervisor/run/member';
import { peerMessageHandlers } from '../../../../src/runtime/supervisor/run/peer-message-handlers';
import { openRunDir } from '../../../../src/runtime/supervisor/run/run-dir';
import { randomNumbers } from '../../../support/random';
import { bootCluster } from '../../seed/cluster';
import { crossed, fromSeed, messages, SENDER, spoiled, toSeed } from './hostile';

jest.setTimeout(60_000);

const SPOILED = 20;
const self = { name: 'web', address: '100.64.0.5', nodeId: 0, epoch: 3 };
const directory = [
  { name: 'web', aliases: [], address: self.address, nodeId: 0 },
  { name: 'api', aliases: [], address: '100.64.0.6', nodeId: 1 },
];
const welcome = { ...fromSeed.find(({ type }) => type === 'welcome')!, directory } as never;
const api = { host: 'api', epoch: 10, state: 'running', ports: [] } as const;

/** Jest fails a test by none of these by itself. */
const escaped: unknown[] = [];
const onEscape = (error: unknown) => void escaped.push(error);
beforeAll(() => {
  process.on('unhandledRejection', onEscape).on('uncaughtException', onEscape);
});
afterAll(() => {
  process.off('unhandledRejection', onEscape).off('uncaughtException', onEscape);
});
beforeEach(() => void escaped.splice(0));

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface Setting {
  readonly member: Member;
  readonly session: MemberSession;
  /** What guards have caught. */
  readonly faults: string[];
  /** From a guest. */
  request(message: Buffer, descriptor?: boolean): void;
}

async function setUp(flat: number | undefined): Promise<Setting> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-hostile-'));
  folders.push(folder);
  const faults: string[] = [];
  let onMessage: Parameters<NativeAddon['openShimSocket']>[1] = () => undefined;
  const addon = loadNative();
  const native: NativeAddon = {
    ...addon,
    openShimSocket: (path, handle, connector) => {
      onMessage = handle;
      return addon.openShimSocket(path, handle, connector);
    },
  };
  const member = new Member({
    native,
    runDir: await openRunDir(folder, native),
    welcome,
    flat,
    settleTime: 0,
    asClient: false,
    log: (level, message) => void (level === 'error' && faults.push(message)),
  });
  const observation = {
    local: { address: '127.0.0.1', port: 10_240 },
    observed: { address: '127.0.0.1', port: 10_240 },
    dataPort: { address: '127.0.0.1', port: 1 },
    ports: [10_240, 704],
  } as const;
  const session: MemberSession = {
    observation: flat === undefined ? observation : undefined,
    report: () => undefined,
    reconnect: () => undefined,
    reportNat: () => undefined,
    used: () => undefined,
    watch: () => undefined,
    data: () => undefined,
    services: { use: () => undefined, load: () => undefined, chosen: () => undefined },
    sendPeerMessage: () => true,
    relay: () => Promise.reject(new LocateError('EHOSTUNREACH', 'no')),
    refuseRelayed: () => undefined,
    knock: () => undefined,
    locate: async () => Promise.reject(new LocateError('ECONNREFUSED', 'no')),
    ports: () => undefined,
  };
  return {
    member,
    session,
    faults,
    request: (message, descriptor) => onMessage(message, descriptor ? [openSync('/dev/null', 'r+')] : []),
  };
}

const STATES: ReadonlyArray<readonly [string, (setting: Setting) => void]> = [
  ['new', () => undefined],
  ['joined', ({ member, session }) => member.attach(session)],
  [
    'rejoining',
    ({ member, session }) => {
      member.attach(session);
      member.locations.forget();
      member.refresh();
    },
  ],
  [
    'suspended',
    ({ member, session }) => {
      member.attach(session);
      member.detach();
    },
  ],
  ['gone', ({ member }) => member.close()],
];
const NETWORKS = [
  ['flat', 64],
  ['nat', undefined],
] as const;
const CASES = NETWORKS.flatMap(([network, flat]) =>
  STATES.map(([state, enter]) => [network, state, flat, enter] as const),
);

function attack({ transports }: Member, message: PeerMessage): void {
  transports.peerMessage(SENDER, message);
  transports.undeliverable(1, message as never);
  transports.relayed(SENDER, 'dG9rZW4=', message);
  transports.relayed(message as never, undefined as never, message);
}

function shimRequest(op: number, random: (limit: number) => number): Buffer {
  const bytes = Buffer.from(
    Array.from({ length: REQUEST.SIZE + random(3) * 16 }, () => random(256) * (random(2) as 0 | 1)),
  );
  bytes.writeUInt32LE(IM_REQUEST_MAGIC, REQUEST.magic);
  bytes.writeUInt16LE(1, REQUEST.version);
  bytes.writeUInt16LE(op, REQUEST.op);
  const addresses = [self.address, '100.64.0.6', '100.64.0.77', '1.2.3.4'];
  if (random(4) > 0) bytes.writeUInt32LE(parseAddress(addresses[random(addresses.length)])!, REQUEST.address);
  if (random(2) > 0) bytes.writeBigUInt64LE(BigInt(random(3) * 5), REQUEST.epoch);
  if (random(2) > 0) bytes.writeUInt32LE(random(8), REQUEST.scope);
  return bytes;
}

test.each(CASES)('members and guests of a member on %s that is %s', async (_network, _state, flat, enter) => {
  const setting = await setUp(flat);
  const { member, session, faults } = setting;
  const random = randomNumbers(1);
  enter(setting);
  // What the seed lets pass is handled without a fault, whether or not it fits.
  for (const message of messages) {
    attack(member, message);
    await setImmediate();
  }
  const expected = faults.filter((text) => !text.includes('undefined'));
  for (const message of crossed(messages)) attack(member, message);
  for (const message of messages) for (let i = 0; i < SPOILED; i++) attack(member, spoiled(message, random));
  for (const op of [...Object.values(OP), 99]) {
    for (let i = 0; i < SPOILED * 5; i++) setting.request(shimRequest(op, random), i % 2 > 0);
  }
  await sleep(50);
  expect(escaped).toEqual([]);
  expect(expected).toEqual([]);
  if (_state === 'gone') return;
  // Who is honest is served: here, a guest's question.
  let asked = 0;
  member.attach({ ...session, locate: async () => ({ location: api, realPort: ++asked }) });
  await expect(member.locator.locate('api', 81)).resolves.toMatchObject({ realPort: expect.any(Number) });
  member.close();
});

test('a seed that sends anything', async () => {
  const setting = await setUp(undefined);
  const { member } = setting;
  const random = randomNumbers(2);
  const first = { ...(welcome as object), directory: packDirectory(directory) } as unknown as FromSeed;
  // These end the session, or its key, which is what they are for.
  const harmless = fromSeed.filter(({ type }) => !['stop', 'refuse', 'secret'].includes(type));
  const queue = [...harmless, ...harmless.flatMap((frame) => Array.from({ length: 12 }, () => spoiled(frame, random)))];
  const kinds = new Set(harmless.map(({ type }) => type));
  for (const frame of crossed(fromSeed)) if (kinds.has(frame.type) && random(4) === 0) queue.push(frame);
  let done: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (done = resolve));
  const onPeer = (channel: Channel<FromSeed>) => ({
    onFrame: (frame: { type: string }) => {
      const { type, id } = frame as ToSeed & { id: number };
      if (type === 'locate' && queue.length === 0) channel.send({ type: 'located', id, location: api, realPort: 80 });
      if (type !== 'join') return;
      channel.send(first);
      // A few at a time: what follows a frame that closes the connection is lost.
      const next = async () => {
        for (let i = 0; i < 8 && channel.open && queue.length > 0; i++) channel.send(queue.shift()!);
        if (queue.length === 0) return done();
        await setImmediate();
        if (channel.open) await next();
      };
      void next();
    },
    onClose: () => undefined,
  });
  const secret = Buffer.alloc(32, 1);
  const server = await listenControl({
    listen: '127.0.0.1:0',
    secretOf: () => secret,
    onPeer: (_identity, channel) => onPeer(channel),
    onRejected: () => undefined,
  });
  const session = await openSession({
    seed: server.address,
    identity: 'client',
    secret,
    join: () => ({ ports: [] }),
    onLocation: (location) => void member.locations.apply(location),
    ...peerMessageHandlers(() => member),
    onDisconnect: () => member.locations.forget(),
    onWelcome: () => member.refresh(),
    onStop: () => undefined,
  });
  await Promise.race([finished, sleep(30_000, undefined, { ref: false })]);
  expect(queue).toEqual([]);
  // The answer comes after all that was sent before it.
  await expect(session.locate('api', 80)).resolves.toMatchObject({ realPort: 80 });
  expect(escaped).toEqual([]);
  session.close();
  member.close();
  await server.close();
});

test('members and operators that send the seed anything', async () => {
  const cluster = await bootCluster([{ name: 'api' }, { name: 'web' }, { name: 'vm', kind: 'instance' }]);
  cluster.host('web', cluster.serves(80));
  cluster.host('api', cluster.serves(80));
  const random = randomNumbers(3);
  const honest = await cluster.client();
  const all = [
    ...toSeed,
    ...crossed(toSeed),
    ...toSeed.flatMap((frame) => Array.from({ length: 10 }, () => spoiled(frame, random))),
  ];
  const send = async (identity: string, before: readonly ToSeed[], frames: readonly ToSeed[]) => {
    const rest = [...frames];
    while (rest.length > 0) {
      let open = true;
      const control = await openControl({
        ...cluster.access(identity),
        onFrame: () => undefined,
        onClose: () => (open = false),
      });
      for (const frame of before) control.send(frame);
      for (let i = 0; i < 6 && open && rest.length > 0; i++) control.send(rest.shift()!);
      await control.end(200);
    }
  };
  const join = { type: 'join', ports: [] } as const;
  await send('operator', [], all);
  await send(
    'client',
    [],
    all.filter((_, i) => i % 5 === 0),
  );
  await send('client', [join], all);
  await send('host/vm/1', [{ ...join, host: 'vm', epoch: 1 }], all);
  expect(escaped).toEqual([]);
  await expect(honest.locate('web', 80)).resolves.toMatchObject({ realPort: 40_080 });
  await cluster.close();
});
