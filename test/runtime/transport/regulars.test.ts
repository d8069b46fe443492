/** When something begins to be kept ready for a peer. What is kept, and how much of it, is in pool.test.ts. */
import type { PeerMember } from '../../../src/runtime/transport/peer-member';
import { FIRST_REQUEST, Regulars } from '../../../src/runtime/transport/pool/regulars';

const peer = (address: number, epoch = 1): PeerMember => ({
  host: `host-${address}`,
  address,
  epoch,
  nat: { kind: 'none', reflexiveAddress: '198.51.100.1', localAddress: '10.0.0.2', ports: [1, 2] },
});

/** `address/epoch` of each call. */
let kept: string[];
let regulars: Regulars;
beforeEach(() => {
  jest.useFakeTimers();
  kept = [];
  regulars = new Regulars(({ address, epoch }) => kept.push(`${address}/${epoch}`));
});
afterEach(() => {
  regulars.clear();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

test('the request that the first connection was made for comes first', () => {
  regulars.connected(peer(1));
  jest.advanceTimersByTime(FIRST_REQUEST - 1);
  expect(kept).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(kept).toEqual(['1/1']);
});

test('a second connection shows that more will come: at once, and with each further one', () => {
  regulars.connected(peer(1));
  regulars.connected(peer(1));
  expect(kept).toEqual(['1/1']);
  jest.advanceTimersByTime(10 * FIRST_REQUEST);
  expect(kept).toEqual(['1/1']);
  regulars.connected(peer(1));
  expect(kept).toEqual(['1/1', '1/1']);
});

test('so does one that comes after the time', () => {
  regulars.connected(peer(1));
  jest.advanceTimersByTime(FIRST_REQUEST);
  regulars.connected(peer(1));
  expect(kept).toEqual(['1/1', '1/1']);
});

test('each peer has a first connection of its own, and so has each of its epochs', () => {
  regulars.connected(peer(1));
  regulars.connected(peer(2));
  regulars.connected(peer(1, 2));
  expect(kept).toEqual([]);
  jest.advanceTimersByTime(FIRST_REQUEST);
  expect(kept).toEqual(['2/1', '1/2']);
});

test('a peer that is not where it was, and all of them without a session: nothing comes', () => {
  for (const address of [1, 2, 3]) regulars.connected(peer(address));
  regulars.drop(1);
  regulars.connected(peer(1));
  regulars.clear();
  jest.advanceTimersByTime(FIRST_REQUEST);
  regulars.connected(peer(2));
  expect(kept).toEqual([]);
});
