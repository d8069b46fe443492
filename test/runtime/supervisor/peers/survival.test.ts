/** Which connections are taken to be lost: after a freeze, and when their other side is there and acknowledges nothing. */
import { Survival } from '../../../../src/runtime/supervisor/peers/survival';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

interface One {
  readonly cookie: number;
  readonly peer: number;
  readonly epoch: number;
  /** `performance.now()`; undefined: the kernel does not tell. */
  acked: number | undefined;
  probing: boolean;
  sendQueue: number;
  retransmitted: number;
}
const [UP, DOWN] = [1, 2];

function survivalOf(connections: readonly One[]) {
  const probed: number[][] = [];
  const lost: number[] = [];
  const alive = () =>
    connections
      .filter(({ cookie }) => !lost.includes(cookie))
      .map(({ acked, ...one }) => ({
        ...{ ...one, localPort: 1, ended: false },
        lastAck: acked === undefined ? undefined : performance.now() - acked,
      }));
  const survival = new Survival({
    peers: {
      probe: (which = () => true) => {
        probed.push(alive().flatMap((one) => (which(one) ? [one.cookie] : [])));
      },
      alive,
      lost: (cookies) => lost.push(...cookies),
    },
    isUp: (address) => address === UP,
  });
  return { survival, lost, probed };
}

const silent = (more: Partial<One> = {}): One => ({
  ...{ cookie: 9, peer: UP, epoch: 5, acked: performance.now() - 60_000 },
  ...{ probing: false, sendQueue: 0, retransmitted: 0 },
  ...more,
});
const [HOST, CLIENT] = [
  { address: UP, client: false },
  { address: UP, client: true },
];

describe('after a freeze', () => {
  function thaw(connections: readonly One[]) {
    const made = survivalOf(connections);
    made.survival.thawed();
    return made;
  }

  test('answered: nothing is lost, and nothing is probed again', () => {
    const one = silent();
    const { lost, probed } = thaw([one]);
    one.acked = performance.now();
    jest.advanceTimersByTime(10_000);
    expect([lost, probed]).toEqual([[], [[9]]]);
  });

  test('not answered by a host that is up: lost after the third probe, and only that one is probed again', () => {
    const [one, other] = [silent(), silent({ cookie: 10 })];
    const { lost, probed } = thaw([one, other]);
    other.acked = performance.now();
    jest.advanceTimersByTime(2_900);
    expect(lost).toEqual([]);
    jest.advanceTimersByTime(7_000);
    expect([lost, probed]).toEqual([[9], [[9, 10], [9], [9]]]);
  });

  test('not answered by a client: lost', () => {
    const { lost } = thaw([silent({ peer: DOWN, epoch: 0 })]);
    jest.advanceTimersByTime(10_000);
    expect(lost).toEqual([9]);
  });

  test.each([
    ['a host that is not up', { peer: DOWN }],
    ['a kernel that does not tell', { acked: undefined }],
    ['a guest that has not sent its probe', { probing: true }],
    ['data that is not sent again yet', { sendQueue: 1, retransmitted: 7 }],
  ])('%s: nothing is judged', (_, more) => {
    const { lost } = thaw([silent(more)]);
    jest.advanceTimersByTime(10_000);
    expect(lost).toEqual([]);
  });

  test('no connection: nothing is probed, and soon nothing is looked at', () => {
    const { probed } = thaw([]);
    jest.advanceTimersByTime(2_000);
    expect([probed, jest.getTimerCount()]).toEqual([[], 0]);
  });
});

describe('a member that is there and acknowledges nothing', () => {
  test('its connections are probed, and no others', () => {
    const { survival, lost, probed } = survivalOf([
      silent(),
      silent({ cookie: 10, peer: DOWN }),
      silent({ cookie: 11, epoch: 0 }),
    ]);
    survival.doubt(HOST);
    jest.advanceTimersByTime(10_000);
    expect([lost, probed]).toEqual([[9], [[9], [9], [9]]]);
    survival.doubt(CLIENT);
    jest.advanceTimersByTime(10_000);
    expect(lost).toEqual([9, 11]);
  });

  test('data that was sent again without an answer: lost', () => {
    const one = silent({ sendQueue: 1, retransmitted: 7 });
    const { survival, lost } = survivalOf([one]);
    survival.doubt(HOST);
    jest.advanceTimersByTime(2_000);
    one.retransmitted = 8;
    jest.advanceTimersByTime(1_900);
    expect(lost).toEqual([]);
    jest.advanceTimersByTime(1_000);
    expect(lost).toEqual([9]);
  });

  test('data that is sent again late: looked at for as long as the other side says that it is there', () => {
    const one = silent({ sendQueue: 1, retransmitted: 7 });
    const { survival, lost } = survivalOf([one]);
    for (let second = 0; second < 12; second += 3) {
      survival.doubt(HOST);
      jest.advanceTimersByTime(3_000);
    }
    one.retransmitted = 8;
    survival.doubt(HOST);
    jest.advanceTimersByTime(3_000);
    expect(lost).toEqual([9]);
  });

  test('not heard of any more: nothing is judged, and nothing is looked at', () => {
    const one = silent({ sendQueue: 1, retransmitted: 7 });
    const { survival, lost } = survivalOf([one]);
    survival.doubt(HOST);
    jest.advanceTimersByTime(5_000);
    one.retransmitted = 8;
    jest.advanceTimersByTime(60_000);
    expect([lost, jest.getTimerCount()]).toEqual([[], 0]);
  });

  test('a member that says so all the time: it is answered once a second, and guests are signalled every two', () => {
    const one = silent();
    const { survival, probed } = survivalOf([one]);
    let answers = 0;
    for (let i = 0; i < 1_000; i++) {
      if (survival.doubt(HOST)) answers += 1;
      one.acked = performance.now();
      jest.advanceTimersByTime(10);
    }
    expect(answers).toBeLessThanOrEqual(11);
    expect(probed.length).toBeLessThanOrEqual(6);
  });

  test('closed: nothing is looked at', () => {
    const { survival, lost } = survivalOf([silent()]);
    survival.doubt(HOST);
    survival.close();
    jest.advanceTimersByTime(10_000);
    expect([lost, jest.getTimerCount()]).toEqual([[], 0]);
  });
});
