/**
 * Two members behind one public address, and where they meet: each one's own NAT report, and the other one's as the
 * seed reports it. No message and no connection is to go where they cannot meet.
 */
import { randomBytes } from 'node:crypto';
import type { NatReport, Purpose } from '../../../src/contract/peer/peer-messages';
import { meetingPoint } from '../../../src/runtime/transport/punched/punch-ports';
import { Signalling } from '../../../src/runtime/transport/punched/signalling';
import { type Pair, twoMembers } from './members';

const never = new AbortController().signal;
const PUBLIC = '203.0.113.9';
const ELSEWHERE = '203.0.113.10';
const ports = [24_000, 100] as const;
const LOCALS = { linkLocal: '169.254.76.1', first: '169.254.0.1', last: '169.254.255.254', private: '10.0.0.7' };
const isLinkLocal = (address: string) => address.startsWith('169.254.');
const known = ['port-preserving', 'endpoint-independent', 'symmetric'] as const;

/** As the seed reports it to others: link-local addresses are replaced by the public one. */
const asReported = (nat: NatReport): NatReport =>
  isLinkLocal(nat.localAddress) ? { ...nat, localAddress: nat.reflexiveAddress } : nat;

const combinations = Object.values(LOCALS).flatMap((mine) =>
  Object.values(LOCALS).flatMap((theirs) =>
    known.flatMap((nat) => [true, false].map((same) => ({ mine, theirs, nat, same }))),
  ),
);

test.each(combinations)('$mine and $theirs, $nat, behind the same address: $same', ({ mine, theirs, nat, same }) => {
  const own: NatReport = { kind: nat, reflexiveAddress: PUBLIC, localAddress: mine, ports };
  const other: NatReport = { kind: nat, reflexiveAddress: same ? PUBLIC : ELSEWHERE, localAddress: theirs, ports };
  // Also as an older seed may report it.
  for (const nat of [asReported(other), other]) {
    const point = meetingPoint(own, nat);
    if (!same) expect(point).toEqual({ mine: PUBLIC, theirs: ELSEWHERE });
    else if (isLinkLocal(mine))
      expect(point.problem).toMatch(/^on this side: behind the same NAT, it cannot be met at 169\.254\./);
    else if (isLinkLocal(theirs)) expect(point.problem).toMatch(/^behind the same NAT, it /);
    else expect(point).toEqual({ near: true, mine, theirs });
  }
});

describe('a connection', () => {
  let pair: Pair;
  beforeEach(() => {
    pair = twoMembers(9);
  });
  afterEach(() => pair.close());
  const purpose: Purpose = { for: 'pool', secrets: randomBytes(32).toString('base64') };
  const opened = jest.fn(async () => undefined);
  const punch = () => pair.web.puncher.punch(pair.api.asPeer, 1, purpose, opened, never);
  const at = (local: string, nat: NatReport['kind'] = 'port-preserving'): NatReport => ({
    kind: nat,
    reflexiveAddress: PUBLIC,
    localAddress: local,
    ports,
  });

  test.each([
    ['this side is link-local', at(LOCALS.linkLocal), at(LOCALS.private), 'on this side: behind the same NAT'],
    [
      'the other one may not have said yet',
      at(LOCALS.linkLocal),
      at(PUBLIC, 'unknown'),
      'on this side: behind the same',
    ],
    ['both are link-local', at(LOCALS.linkLocal), at(PUBLIC), 'on this side: behind the same NAT'],
    ['the other one is link-local', at(LOCALS.private), at(PUBLIC), 'behind the same NAT, it has no address'],
    ['it is, and the seed says so', at(LOCALS.private), at(LOCALS.linkLocal), 'cannot be met at 169.254.76.1'],
  ])('%s: refused before anything is sent', async (_name, mine, theirs, reason) => {
    pair.web.nat = mine;
    pair.api.nat = theirs;
    await expect(punch()).rejects.toMatchObject({ code: 'NOT_PUNCHED', message: expect.stringContaining(reason) });
    expect(pair.api.got).toEqual([]);
    expect(opened).not.toHaveBeenCalled();
  });

  test('the other one did not know yet, and is link-local: it says so', async () => {
    pair.web.nat = at(LOCALS.private);
    const before = pair.api.receive;
    pair.api.nat = at(PUBLIC, 'unknown');
    pair.api.receive = (message, reply) => {
      pair.api.nat = at(LOCALS.linkLocal);
      before(message, reply);
    };
    await expect(punch()).rejects.toThrow('the other side: behind the same NAT, it cannot be met at 169.254.76.1');
    expect(opened).not.toHaveBeenCalled();
  });
});

test('no signalling is made to a member behind the same NAT, whatever its address is', async () => {
  const signalling = jest.fn();
  for (const local of Object.values(LOCALS)) {
    const nat: NatReport = { kind: 'port-preserving', reflexiveAddress: PUBLIC, localAddress: local, ports };
    const own = Promise.resolve(nat);
    const channels = new Signalling({
      punched: { signalling: signalling },
      connector: { call: jest.fn() },
      natReport: () => own,
      signal: never,
    });
    const other = { host: 'api', address: 1, epoch: 1, nat: asReported(nat) };
    channels.open(other);
    await new Promise(setImmediate);
    expect(channels.to(1)).toBeUndefined();
  }
  expect(signalling).not.toHaveBeenCalled();
});
