import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import type { NatReport, PeerMessage, Purpose } from '../../../src/contract/peer/peer-messages';
import { OpeningError } from '../../../src/runtime/transport/connector';
import type { PeerMember } from '../../../src/runtime/transport/peer-member';
import { type Agreed, PunchError } from '../../../src/runtime/transport/punched/punch';
import { pairsOf } from '../../../src/runtime/transport/punched/punched';
import { eventually } from '../../support/eventually';
import { openSockets, type Pair, socketsSince, twoMembers } from './members';

const never = new AbortController().signal;
let pair: Pair;
/** Before each test both connectors have their thread, so that what is counted is connections. */
let before: ReadonlySet<string>;
beforeEach(async () => {
  pair = twoMembers(1);
  await pool(1);
  pair.web.connector.drop(0);
  pair.api.connector.drop(0);
  before = openSockets();
});
afterEach(() => pair.close());

/** Ready connections from web to api: how many it becomes. `forge`: what web expects of the first one. */
function pool(
  count: number,
  { forge, signal = never, peer }: { forge?: Buffer; signal?: AbortSignal; peer?: PeerMember } = {},
) {
  const secrets = randomBytes(32 * count);
  const purpose: Purpose = { for: 'pool', secrets: secrets.toString('base64') };
  const { connector, puncher } = pair.web;
  return puncher.punch(
    peer ?? pair.api.asPeer,
    count,
    purpose,
    ({ base, ports, to }, ending) => {
      forge?.copy(secrets, 16);
      return connector.fill({ ...base, purpose: 'poolOut', ttl: 60_000 }, pairsOf(ports, to), secrets, ending);
    },
    signal,
  );
}

const behind = (nat: NatReport['kind'], address: string): Partial<NatReport> => ({
  kind: nat,
  reflexiveAddress: address,
});

test('so many as were asked for; each is closed by a drop, and nothing is left', async () => {
  expect(await pool(8)).toBe(8);
  await eventually(() => socketsSince(before) === 16);
  pair.web.connector.drop(0);
  pair.api.connector.drop(0);
  await eventually(() => socketsSince(before) === 0);
});

test('a pair of ports is not used again soon', async () => {
  const used = new Set<string>();
  for (let i = 0; i < 20; i++) await pool(32);
  const punches = pair.api.got.filter((message) => message.type === 'punch');
  for (const punch of punches) for (const [i, from] of punch.from.entries()) used.add(`${from} ${punch.to![i]}`);
  expect(used.size).toBe(20 * 32 + 1);
});

test('who says another secret than was agreed on is not kept ready', async () => {
  expect(await pool(2, { forge: Buffer.from('a wrong password') })).toBe(1);
  pair.web.connector.drop(0);
  pair.api.connector.drop(0);
  await eventually(() => socketsSince(before) === 0);
});

test('given up: at once, and nothing is left', async () => {
  const giving = new AbortController();
  pair.api.receive = () => giving.abort();
  await expect(pool(16, { signal: giving.signal })).rejects.toEqual(new OpeningError(0));
  await eventually(() => socketsSince(before) === 0);
});

test('no answer from one that knows its ports: a time-out', async () => {
  pair.api.receive = () => undefined;
  expect(await pool(2)).toBe(0);
  await eventually(() => socketsSince(before) === 0);
});

test('no answer from one that has to say its ports: a time-out', async () => {
  Object.assign(pair.api.nat, behind('endpoint-independent', '198.51.100.9'));
  pair.api.receive = () => undefined;
  await expect(pool(1)).rejects.toThrow(new PunchError('the other side: it did not answer'));
  await eventually(() => socketsSince(before) === 0);
});

test('not delivered: at once', async () => {
  pair.api.receive = (message) => {
    if (message.type === 'punch') pair.web.puncher.undeliverable(message.id, 'api does not run');
  };
  await expect(pool(4)).rejects.toThrow(new PunchError('the other side: api does not run', false, true));
  await eventually(() => socketsSince(before) === 0);
});

test.each([
  ['has ended', 7, 'imagined'],
  ['is suspended', 7, 'suspended'],
  ['has been replaced', 8, 'running'],
] as const)('no answer from an epoch that %s: over as soon as that is known', async (_what, epoch, state) => {
  Object.assign(pair.api.nat, behind('endpoint-independent', '198.51.100.9'));
  pair.api.receive = () => {
    pair.web.puncher.located({ host: 'other', epoch: 9, state: 'imagined' });
    pair.web.puncher.located({ host: 'api', epoch: 7, state: 'running' });
    pair.web.puncher.located({ host: 'api', epoch, state });
  };
  await expect(pool(1)).rejects.toEqual(new PunchError('the other side: epoch 7 is not there any more', false, true));
  await eventually(() => socketsSince(before) === 0);
});

test.each<[string, Partial<NatReport>, Partial<NatReport>, string]>([
  [
    'ours',
    behind('symmetric', '198.51.100.8'),
    {},
    'on this side: its NAT maps ports differently for every destination',
  ],
  ['ours', behind('unknown', '198.51.100.8'), {}, 'on this side: its NAT could not be found out'],
  ['theirs', {}, behind('symmetric', '198.51.100.9'), 'its NAT maps ports differently for every destination'],
])('a NAT that cannot be punched through (%s)', async (_whose, mine, theirs, message) => {
  Object.assign(pair.web.nat, mine);
  Object.assign(pair.api.nat, { kind: 'port-preserving' }, theirs);
  await expect(pool(1)).rejects.toThrow(new PunchError(message));
});

test.each(['web', 'api'] as const)(
  'a port that is taken when %s probes it: with another one it may work',
  async (side) => {
    pair[side].punchPorts.open = () => Promise.reject(Object.assign(new Error('connect'), { code: 'EADDRNOTAVAIL' }));
    const failure = await pool(1).catch((error: Error) => error);
    expect(failure).toBeInstanceOf(PunchError);
    expect(failure).toMatchObject({ busy: true });
  },
);

test('behind one address, the kind of NAT does not matter', async () => {
  pair.web.nat = { ...pair.web.nat, kind: 'symmetric' };
  pair.api.nat = { ...pair.api.nat, kind: 'unknown' };
  expect(await pool(1)).toBe(1);
});

describe('a NAT that has not been reported yet', () => {
  const there = '127.65.1.3';
  let answers: PeerMessage[];
  beforeEach(() => {
    pair.api.nat = { ...pair.api.nat, reflexiveAddress: there, localAddress: there };
    answers = [];
    const { receive } = pair.api;
    pair.api.receive = (message, reply) =>
      receive(message, (answer) => {
        answers.push(answer);
        reply(answer);
      });
  });
  const unreported = (ports = pair.api.nat.ports): PeerMember => ({
    ...pair.api.asPeer,
    nat: { ...pair.api.nat, kind: 'unknown', ports },
  });

  /** Agrees on `count` connections, each time that there is something to connect to. @returns to which ports */
  async function agree(count: number, peer: PeerMember, isGiven: (to: readonly number[]) => boolean) {
    const tried: (readonly number[])[] = [];
    const open = async ({ to }: Agreed, until: AbortSignal) => {
      tried.push(to);
      if (isGiven(to)) return;
      // As a connector does: under way until it is given up.
      await new Promise((resolve) => until.addEventListener('abort', resolve));
      throw new OpeningError(0);
    };
    const purpose: Purpose = { for: 'pool', secrets: randomBytes(32 * count).toString('base64') };
    await pair.web.puncher.punch(peer, count, purpose, open, never);
    return tried;
  }
  const within = ([first, many]: readonly [number, number]) => {
    return (ports: readonly number[]) => ports.every((port) => port >= first && port < first + many);
  };

  test('it preserves ports: no answer is waited for', async () => {
    const { ports } = pair.api.nat;
    const tried = await agree(3, unreported(), within(ports));
    expect(tried).toHaveLength(1);
    expect(pair.api.got.at(-1)).toMatchObject({ type: 'punch', to: tried[0], guess: true });
    expect(answers).toEqual([]);
  });

  test('its ports are others: those of its answer', async () => {
    const tried = await agree(3, unreported([30_000, 500]), within(pair.api.nat.ports));
    expect(tried).toHaveLength(2);
    expect(within([30_000, 500])(tried[0])).toBe(true);
    expect(answers).toEqual([{ type: 'punching', id: expect.any(Number), address: there, ports: tried[1] }]);
  });

  test('it cannot be punched through', async () => {
    const peer = unreported();
    Object.assign(pair.api.nat, behind('symmetric', there));
    const problem = 'the other side: its NAT maps ports differently for every destination';
    await expect(pool(1, { peer })).rejects.toThrow(new PunchError(problem));
    await eventually(() => socketsSince(before) === 0);
  });

  test('it answers with fewer ports than it was asked for', async () => {
    const peer = unreported();
    pair.api.receive = (message, reply) =>
      message.type === 'punch' && reply({ type: 'punching', id: message.id, address: there, ports: [22_001] });
    await expect(pool(2, { peer })).rejects.toThrow(new PunchError('the other side named 1 ports, not 2'));
    await eventually(() => socketsSince(before) === 0);
  });
});

test.each(
  (['none', 'one-to-one'] as const).flatMap((theirs) =>
    (['symmetric', 'endpoint-independent', 'unknown'] as const).map((kind) => [theirs, kind] as const),
  ),
)(
  'a public address (%s) is connected to from behind a NAT that is %s: no port of ours is probed, and none is named',
  async (theirs, kind) => {
    const there = '127.65.1.3';
    pair.web.nat = { ...pair.web.nat, kind };
    pair.api.nat = { ...pair.api.nat, kind: theirs, reflexiveAddress: there, localAddress: there };
    const asked: PeerMessage[] = [];
    const { receive } = pair.api;
    pair.api.receive = (message, reply) => {
      // As its NAT would have it, the connection comes from another port than the one in the message.
      asked.push(message);
      receive(message.type === 'punch' ? { ...message, from: message.from.map(() => 9) } : message, reply);
    };
    expect(await pool(2)).toBe(2);
    expect(asked).toEqual([expect.objectContaining({ type: 'punch', direct: true })]);
  },
);

describe('what is asked of this side is checked', () => {
  test('to wait for a connection, where not everybody reaches it', async () => {
    pair.api.nat = { ...pair.api.nat, kind: 'port-preserving' };
    const answer = await ask({ near: undefined, direct: true });
    expect(answer).toMatchObject({ type: 'unpunchable', reason: 'it has no address that everybody reaches' });
  });

  const ask = async (change: object) => {
    const address = pair.web.nat.reflexiveAddress;
    const purpose: Purpose = { for: 'connection', port: 80, sourcePort: 4_711 };
    const message = { type: 'punch', id: 3, near: true, address, from: [21_001], to: [22_001], purpose, ...change };
    return new Promise((answered) => pair.api.receive(message as never, answered));
  };
  const secrets = Buffer.alloc(32).toString('base64');

  test.each([
    ['more ports than connections', { from: [21_001, 21_002], to: [22_001, 22_002] }, '2 ports are not for this'],
    [
      'another number of secrets',
      { from: [21_001, 21_002], to: [22_001, 22_002], purpose: { for: 'pool', secrets } },
      '2 ports are not for this',
    ],
    ['a port that is not its own', { to: [80] }, 'these are not its ports'],
    ['a port after its last', { to: [22_500] }, 'these are not its ports'],
    ['fewer ports than connections', { to: [] }, 'these are not its ports'],
  ])('%s', async (_name, change, reason) => {
    expect(await ask(change)).toEqual({ type: 'unpunchable', id: 3, reason });
    await eventually(() => socketsSince(before) === 0);
  });

  test('ports that it cannot name by itself', async () => {
    pair.api.nat = { ...pair.api.nat, kind: 'endpoint-independent' };
    expect(await ask({ near: undefined })).toEqual({ type: 'unpunchable', id: 3, reason: 'these are not its ports' });
  });
});

test('without a signalling channel none is called for over it', async () => {
  const call = pair.web.connector.call(pair.api.asPeer.address, 1, 0, never);
  await expect(call).rejects.toMatchObject({ code: 'NOT_OPENED', errno: constants.errno.ENOTCONN });
});
