import { constants } from 'node:os';
import type { Reach } from '../../../src/runtime/protocol/rendezvous';
import { OpeningError } from '../../../src/runtime/transport/carrier';
import type { Other } from '../../../src/runtime/transport/punch';
import { createWires, terms, type WireTerms } from '../../../src/runtime/transport/wires';

const reach = (nat: Reach['nat'], address: string): Reach => ({
  nat,
  address,
  local: '10.0.0.2',
  ports: [20_000, 800],
});
const mine = reach('preserving', '198.51.100.1');
const api: Other = { host: 'api', address: 0x64400002, epoch: 7, reach: reach('none', '198.51.100.2') };

/** Wires whose punches are noted, and end as `end` says. */
function noted(own = mine, end = () => Promise.resolve()) {
  const made: Array<{ other: Other; key: string; terms: WireTerms }> = [];
  const called: number[] = [];
  const wires = createWires({
    signal: new AbortController().signal,
    carrier: {
      call: async (address, count) => {
        called.push(address);
        if (count > 2) throw new OpeningError(constants.errno.ENOTCONN);
        return count;
      },
    },
    reach: async () => own,
    punched: {
      wire: (other, key, given) => {
        made.push({ other, key, terms: given });
        return end();
      },
    },
  });
  return { wires, made, called };
}
const settled = () => new Promise(setImmediate);

test('one for each incarnation, with the ports that supervisors do not use themselves', async () => {
  const { wires, made } = noted();
  wires.open(api);
  wires.open(api);
  await settled();
  expect(made).toHaveLength(1);
  expect(made[0]).toMatchObject({
    other: api,
    terms: { ownFirst: 20_400, ownCount: 200, theirFirst: 20_600, theirCount: 200 },
  });
  wires.open({ ...api, epoch: 8 });
  await settled();
  expect(made).toHaveLength(2);
  expect(made[1].key).not.toBe(made[0].key);
});

test('what one side says with, the other one hears with', () => {
  const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64');
  const out = terms('out', key, mine, api.reach);
  const there = terms('in', key, api.reach, mine);
  expect(out.send).toEqual(there.expect);
  expect(out.expect).toEqual(there.send);
  expect([there.ownFirst, there.theirFirst]).toEqual([out.theirFirst, out.ownFirst]);
  expect([...out.send]).toEqual(Array.from({ length: 16 }, (_, i) => i));
});

test('one that has ended, or could not be made, is made again when it is asked for', async () => {
  const { wires, made } = noted();
  wires.open(api);
  expect(wires.to(api.address)).toBe(api);
  expect(wires.lost(api.address)).toBe('api');
  expect(wires.to(api.address)).toBeUndefined();
  wires.open(api);
  await settled();
  expect(made).toHaveLength(2);
  const failing = noted(mine, () => Promise.reject(new Error('not punched')));
  failing.wires.open(api);
  await settled();
  failing.wires.open(api);
  await settled();
  expect(failing.made).toHaveLength(2);
});

test.each<[string, Reach, Reach]>([
  ['ports that change on this side', { ...mine, nat: 'changing' }, api.reach],
  ['ports that change on the other side', mine, { ...api.reach, nat: 'changing' }],
  ['a NAT that is not known yet', mine, { ...api.reach, nat: 'unknown' }],
  ['one address for both', mine, { ...api.reach, address: mine.address }],
])('%s: none', async (_, own, theirs) => {
  const { wires, made } = noted(own);
  wires.open({ ...api, reach: theirs });
  await settled();
  expect(made).toEqual([]);
});

test('what is to be made ready is called for where there is a wire to that incarnation, and otherwise left to others', async () => {
  const { wires, called } = noted();
  expect(await wires.fill(api, 2, 1)).toBeUndefined();
  wires.open(api);
  expect(await wires.fill({ ...api, epoch: 8 }, 2, 1)).toBeUndefined();
  expect(called).toEqual([]);
  expect(await wires.fill(api, 2, 1)).toBe(2);
  // The carrier has none any more.
  expect(await wires.fill(api, 3, 1)).toBeUndefined();
  expect(called).toEqual([api.address, api.address]);
});

test('none to a host that does not know yet where it is, and one as soon as it does', async () => {
  const { wires, made } = noted();
  wires.open({ ...api, reach: { ...api.reach, nat: 'unknown' } });
  await settled();
  expect(made).toEqual([]);
  wires.open(api);
  await settled();
  expect(made).toHaveLength(1);
});
