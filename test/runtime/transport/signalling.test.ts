import { constants } from 'node:os';
import type { NatReport } from '../../../src/contract/peer/peer-messages';
import { OpeningError } from '../../../src/runtime/transport/connector';
import type { PeerMember } from '../../../src/runtime/transport/peer-member';
import { Signalling } from '../../../src/runtime/transport/punched/signalling';
import { type SignallingTerms, signallingTerms } from '../../../src/runtime/transport/punched/terms';

const report = (kind: NatReport['kind'], address: string): NatReport => ({
  kind,
  reflexiveAddress: address,
  localAddress: '10.0.0.2',
  ports: [20_000, 800],
});
const mine = report('port-preserving', '198.51.100.1');
const api: PeerMember = { host: 'api', address: 0x64400002, epoch: 7, nat: report('none', '198.51.100.2') };

/** Signalling channels whose punches are noted, and end as `end` says. */
function noted(own = mine, end = () => Promise.resolve()) {
  const made: Array<{ other: PeerMember; key: string; terms: SignallingTerms }> = [];
  const called: number[] = [];
  const signalling = new Signalling({
    signal: new AbortController().signal,
    connector: {
      call: async (address, count) => {
        called.push(address);
        if (count > 2) throw new OpeningError(constants.errno.ENOTCONN);
        return count;
      },
    },
    natReport: async () => own,
    punched: {
      signalling: (other, key, given) => {
        made.push({ other, key, terms: given });
        return end();
      },
    },
  });
  return { signalling, made, called };
}
const settled = () => new Promise(setImmediate);

test('one for each epoch, with the ports that supervisors do not use themselves', async () => {
  const { signalling, made } = noted();
  signalling.open(api);
  signalling.open(api);
  await settled();
  expect(made).toHaveLength(1);
  expect(made[0]).toMatchObject({
    other: api,
    terms: { ownFirst: 20_398, ownCount: 199, theirFirst: 20_597, theirCount: 199 },
  });
  signalling.open({ ...api, epoch: 8 });
  await settled();
  expect(made).toHaveLength(2);
  expect(made[1].key).not.toBe(made[0].key);
});

test('what one side says with, the other one hears with', () => {
  const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64');
  const out = signallingTerms('out', key, mine, api.nat);
  const there = signallingTerms('in', key, api.nat, mine);
  expect(out.send).toEqual(there.expect);
  expect(out.expect).toEqual(there.send);
  expect([there.ownFirst, there.theirFirst]).toEqual([out.theirFirst, out.ownFirst]);
  expect([...out.send]).toEqual(Array.from({ length: 16 }, (_, i) => i));
});

test('one that has ended, or could not be made, is made again when it is asked for', async () => {
  const { signalling, made } = noted();
  signalling.open(api);
  expect(signalling.to(api.address)).toBe(api);
  expect(signalling.lost(api.address)).toBe(true);
  expect(signalling.to(api.address)).toBeUndefined();
  signalling.open(api);
  await settled();
  expect(made).toHaveLength(2);
  const failing = noted(mine, () => Promise.reject(new Error('not punched')));
  failing.signalling.open(api);
  await settled();
  failing.signalling.open(api);
  await settled();
  expect(failing.made).toHaveLength(2);
});

test.each<[string, NatReport, NatReport]>([
  ['ports that change on this side', { ...mine, kind: 'endpoint-independent' }, api.nat],
  ['ports that change on the other side', mine, { ...api.nat, kind: 'endpoint-independent' }],
  ['a NAT that is not known yet', mine, { ...api.nat, kind: 'unknown' }],
  ['one address for both', mine, { ...api.nat, reflexiveAddress: mine.reflexiveAddress }],
])('%s: none', async (_, own, theirs) => {
  const { signalling, made } = noted(own);
  signalling.open({ ...api, nat: theirs });
  await settled();
  expect(made).toEqual([]);
});

test('what is to be made ready is called for where there is a signalling channel to that epoch, and otherwise left to others', async () => {
  const { signalling, called } = noted();
  expect(await signalling.fill(api, 2, 1)).toBeUndefined();
  signalling.open(api);
  expect(await signalling.fill({ ...api, epoch: 8 }, 2, 1)).toBeUndefined();
  expect(called).toEqual([]);
  expect(await signalling.fill(api, 2, 1)).toBe(2);
  // The connector has none any more.
  expect(await signalling.fill(api, 3, 1)).toBeUndefined();
  expect(called).toEqual([api.address, api.address]);
});

test('none to a host that does not know yet where it is, and one as soon as it does', async () => {
  const { signalling, made } = noted();
  signalling.open({ ...api, nat: { ...api.nat, kind: 'unknown' } });
  await settled();
  expect(made).toEqual([]);
  signalling.open(api);
  await settled();
  expect(made).toHaveLength(1);
});
