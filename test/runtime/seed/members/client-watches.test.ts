/** When hosts hear that a client is gone: in each order in which it, and those that watch it, come and go. */
import { ClientWatches } from '../../../../src/runtime/seed/members/client-watches';

const GRACE = 10_000;
const [HOST, OTHER] = [1, 2];

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function setUp() {
  const told: Array<[member: number, client: string]> = [];
  const gone: string[] = [];
  const watches = new ClientWatches({
    grace: GRACE,
    send: (member, frame) => frame.type === 'clientGone' && told.push([member, frame.client]),
    onGone: (name) => gone.push(name),
  });
  return { watches, told, gone };
}

test('gone for longer than the grace: those that watch it hear of it, once', () => {
  const { watches, told, gone } = setUp();
  watches.joined('client-3', false);
  watches.watch('client-3', HOST);
  watches.watch('client-3', OTHER);
  watches.joined('client-4', false);
  watches.watch('client-4', OTHER);
  watches.left('client-3');
  jest.advanceTimersByTime(GRACE - 1);
  expect(told).toEqual([]);
  jest.advanceTimersByTime(60_000);
  expect(told).toEqual([
    [HOST, 'client-3'],
    [OTHER, 'client-3'],
  ]);
  expect(gone).toEqual(['client-3']);
  expect(jest.getTimerCount()).toBe(0);
});

test('back within the grace: nobody hears anything, and it is watched on', () => {
  const { watches, told } = setUp();
  watches.joined('client-3', false);
  watches.watch('client-3', HOST);
  watches.left('client-3');
  jest.advanceTimersByTime(GRACE - 1);
  watches.joined('client-3', true);
  jest.advanceTimersByTime(60_000);
  expect(told).toEqual([]);
  watches.left('client-3');
  jest.advanceTimersByTime(GRACE);
  expect(told).toEqual([[HOST, 'client-3']]);
});

test('the new connection is there before the old one has ended', () => {
  const { watches, told } = setUp();
  watches.joined('client-3', false);
  watches.watch('client-3', HOST);
  watches.joined('client-3', true);
  watches.left('client-3');
  jest.advanceTimersByTime(60_000);
  expect(told).toEqual([]);
});

test('another client gets the name: the earlier one is gone at once', () => {
  const { watches, told } = setUp();
  watches.joined('client-3', false);
  watches.watch('client-3', HOST);
  watches.left('client-3');
  watches.joined('client-3', false);
  expect(told).toEqual([[HOST, 'client-3']]);
  watches.left('client-3');
  jest.advanceTimersByTime(GRACE);
  expect(told).toHaveLength(1);
});

test('several under one name: gone when the last one is', () => {
  const { watches, told } = setUp();
  watches.joined('web (client)', true);
  watches.joined('web (client)', true);
  watches.watch('web (client)', HOST);
  watches.left('web (client)');
  jest.advanceTimersByTime(60_000);
  expect(told).toEqual([]);
  watches.left('web (client)');
  jest.advanceTimersByTime(GRACE);
  expect(told).toEqual([[HOST, 'web (client)']]);
});

test('a client of an earlier seed: watched before it has joined, and gone if it does not', () => {
  const { watches, told } = setUp();
  watches.watch('client-3', HOST);
  watches.watch('client-4', HOST);
  jest.advanceTimersByTime(GRACE - 1);
  watches.joined('client-3', true);
  jest.advanceTimersByTime(60_000);
  expect(told).toEqual([[HOST, 'client-4']]);
});

test('a member that is gone itself hears nothing', () => {
  const { watches, told } = setUp();
  watches.joined('client-3', false);
  watches.watch('client-3', HOST);
  watches.left('client-3');
  watches.forget(HOST, 'client-3');
  jest.advanceTimersByTime(GRACE);
  expect(told).toEqual([]);
});

test('closed: nothing is waited for', () => {
  const { watches } = setUp();
  watches.watch('client-3', HOST);
  watches.close();
  expect(jest.getTimerCount()).toBe(0);
});
