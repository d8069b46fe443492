/** Which connections are taken to be lost after a freeze. */
import { Survival } from '../../../../src/runtime/supervisor/peers/survival';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

interface One {
  readonly cookie: number;
  readonly peer: number;
  readonly epoch: number;
  lastAck: number | undefined;
}
const [UP, DOWN] = [1, 2];

function thaw(connections: readonly One[]) {
  let probes = 0;
  const lost: number[] = [];
  const survival = new Survival({
    peers: {
      probe: () => {
        probes += 1;
      },
      alive: () => connections.map((one) => ({ ...one, ended: false })),
      lost: (cookies) => lost.push(...cookies),
    },
    isUp: (address) => address === UP,
  });
  survival.thawed();
  return { lost, probes: () => probes };
}

const silent = (more: Partial<One> = {}): One => ({ cookie: 9, peer: UP, epoch: 5, lastAck: 60_000, ...more });

test('answered: nothing is lost, and nothing is probed again', () => {
  const { lost, probes } = thaw([silent({ lastAck: 100 })]);
  jest.advanceTimersByTime(10_000);
  expect([lost, probes()]).toEqual([[], 1]);
});

test('not answered by a host that is up: lost after the third probe', () => {
  const { lost, probes } = thaw([silent(), silent({ cookie: 10, lastAck: 200 })]);
  jest.advanceTimersByTime(2_900);
  expect(lost).toEqual([]);
  jest.advanceTimersByTime(7_000);
  expect([lost, probes()]).toEqual([[9], 3]);
});

test('not answered by a client: lost', () => {
  const { lost } = thaw([silent({ peer: DOWN, epoch: 0 })]);
  jest.advanceTimersByTime(10_000);
  expect(lost).toEqual([9]);
});

test.each([
  ['a host that is not up', { peer: DOWN }],
  ['a kernel that does not tell', { lastAck: undefined }],
])('%s: nothing is judged', (_, more) => {
  const { lost } = thaw([silent(more)]);
  jest.advanceTimersByTime(10_000);
  expect(lost).toEqual([]);
});
