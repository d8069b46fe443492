/** The policy of the pool, without connections: those are in punch.test.ts. */

import type { PeerMember } from '../../../src/runtime/transport/peer-member';
import { Pools } from '../../../src/runtime/transport/pool/pool';
import { pairedSequence, portSequence } from '../../../src/runtime/transport/punched/ports';

const peer = (address: number, epoch = 1): PeerMember => ({
  host: `host-${address}`,
  address,
  epoch,
  nat: { kind: 'none', reflexiveAddress: '198.51.100.1', localAddress: '10.0.0.2', ports: [1, 2] },
});

let asked: Array<{ host: string; count: number }>;
/** How many of those that were asked for it becomes. */
let became: (count: number) => number;
/** What the connector has. */
let ready: Map<number, number>;
const settled = () => new Promise(setImmediate);
function pools(most?: number): Pools {
  asked = [];
  became = (count) => count;
  const here = new Map<number, number>();
  ready = here;
  const fill = async ({ host, address }: PeerMember, count: number) => {
    asked.push({ host, count });
    await settled();
    here.set(address, (here.get(address) ?? 0) + became(count));
    return became(count);
  };
  const readyOf = (address: number) =>
    address ? (here.get(address) ?? 0) : [...here.values()].reduce((sum, count) => sum + count, 0);
  return new Pools({ fill, ready: readyOf, most: most ?? 256 });
}
/** A guest was connected, and none was ready for it. */
async function miss(all: Pools, other: PeerMember) {
  ready.delete(other.address);
  all.missed(other);
  await settled();
  await settled();
}
function use(all: Pools, address: number, left: number) {
  ready.set(address, left);
  all.used(address);
}
function lose(all: Pools, address: number, left: number) {
  ready.set(address, left);
  all.lost(address);
}
const counts = () => asked.map(({ count }) => count);

test('a peer that was connected to gets two; each time that none is ready, twice as many, up to 64', async () => {
  const all = pools();
  for (let i = 0; i < 8; i++) {
    await miss(all, peer(1));
  }
  expect(counts()).toEqual([2, 4, 8, 16, 32, 64, 64, 64]);
});

test('filled up when half of it has been used, not one by one, and with more when that was fast', async () => {
  const all = pools();
  for (let i = 0; i < 3; i++) await miss(all, peer(1));
  asked = [];
  for (const left of [7, 6, 5]) use(all, 1, left);
  expect(asked).toEqual([]);
  // Twice eight are wanted now, and four are there.
  use(all, 1, 4);
  expect(counts()).toEqual([12]);
  // They are on their way.
  use(all, 1, 3);
  expect(counts()).toEqual([12]);
});

test('what ends unused is not replaced, and the share shrinks', async () => {
  const all = pools();
  for (let i = 0; i < 3; i++) await miss(all, peer(1));
  for (let left = 7; left >= 0; left--) lose(all, 1, left);
  expect(counts()).toEqual([2, 4, 8]);
  asked = [];
  // Of the two that are left of it, used at once: twice as many.
  use(all, 1, 0);
  expect(counts()).toEqual([4]);
});

test('all peers together have no more than there are descriptors for', async () => {
  const all = pools(10);
  for (let address = 1; address <= 7; address++) {
    await miss(all, peer(address));
  }
  expect(counts()).toEqual([2, 2, 2, 2, 2]);
  lose(all, 1, 0);
  all.missed(peer(8));
  expect(asked.at(-1)).toEqual({ host: 'host-8', count: 2 });
});

test('a peer that is not where it was, and one that is another epoch, begin anew', async () => {
  const all = pools();
  for (let i = 0; i < 3; i++) await miss(all, peer(1));
  asked = [];
  all.drop(1);
  use(all, 1, 0);
  lose(all, 1, 0);
  expect(asked).toEqual([]);
  await miss(all, peer(1));
  await miss(all, peer(1, 2));
  await miss(all, peer(1, 2));
  expect(counts()).toEqual([2, 2, 4]);
  all.clear();
  use(all, 1, 0);
  expect(counts()).toEqual([2, 2, 4]);
});

test('guests that wait make the share grow, and what comes for them is counted', async () => {
  const all = pools();
  await miss(all, peer(1));
  asked = [];
  use(all, 1, 0);
  expect(counts()).toEqual([4]);
  // Two guests wait for two of those four: eight are wanted now, beside the two.
  use(all, 1, -1);
  use(all, 1, -2);
  expect(counts()).toEqual([4, 6]);
});

test('a peer that cannot be punched to costs one try for each connection', async () => {
  const all = pools();
  became = () => 0;
  for (let i = 0; i < 3; i++) await miss(all, peer(1));
  expect(counts()).toEqual([2, 4, 8]);
});

test('ports: all of a range in turn; a pair comes again only after as many rounds as there are ports', () => {
  const next = portSequence([100, 8]);
  const paired = pairedSequence([200, 8]);
  const pairs = new Set<string>();
  for (let round = 0; round < 8; round++) {
    const ports = Array.from({ length: 8 }, () => {
      const port = next();
      pairs.add(`${port} ${paired()}`);
      return port;
    });
    expect([...ports].sort()).toEqual([100, 101, 102, 103, 104, 105, 106, 107]);
  }
  expect(pairs.size).toBe(64);
});
