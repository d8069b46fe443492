/** When a sleeping host is woken for data, and when a connection with one that was woken is given up. */
import { WaitingData } from '../../../../src/runtime/supervisor/peers/waiting-data';

const ADDRESS = 0x6440_0102;
const [ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING] = [1, 4, 5, 8, 9, 11];

interface Row {
  readonly cookie: number;
  state?: number;
  bytes?: number;
  sendQueue?: number;
  retransmitted?: number;
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function setUp(epochs: ReadonlyMap<number, number>, sockets: Row[]) {
  const told: Array<[number, number]> = [];
  const lost: number[] = [];
  let looks = 0;
  const data = new WaitingData({
    peers: { with: () => epochs },
    native: {
      tcpSockets: () => {
        looks += 1;
        return Float64Array.from(
          sockets.flatMap(({ cookie, state = ESTABLISHED, bytes = 100, sendQueue = 0, retransmitted = 0 }) => [
            ...[1, 2, 3, 4, state, sendQueue, 0, 0, 7, bytes, cookie, 0, retransmitted],
          ]),
        );
      },
    },
    onData: (address, epoch) => told.push([address, epoch]),
    onLost: (cookie) => lost.push(cookie),
  });
  const sleep = (asleep: boolean) => data.sleeps(ADDRESS, asleep);
  return { sleep, told, lost, looks: () => looks, waits: () => data.waits(), close: () => data.close() };
}

const ONE = new Map([[9, 5]]);

test('nothing moves: nobody is woken, and nothing is looked for once the host is awake', () => {
  const { sleep, told, looks } = setUp(ONE, [{ cookie: 9 }]);
  sleep(true);
  jest.advanceTimersByTime(1_000);
  expect(told).toEqual([]);
  expect(looks()).toBeGreaterThan(10);
});

test('no connection with the host: nothing is looked for', () => {
  const { sleep, looks } = setUp(new Map(), [{ cookie: 9, sendQueue: 5 }]);
  sleep(true);
  jest.advanceTimersByTime(1_000);
  expect(looks()).toBe(0);
});

test.each<[string, Partial<Row>]>([
  ['bytes wait to be acknowledged', { sendQueue: 5 }],
  ['bytes were acknowledged in the last moment before the freeze', { bytes: 105 }],
  ['after the other side has ended its stream', { state: CLOSE_WAIT, sendQueue: 5 }],
  ['before the end of the stream', { state: FIN_WAIT1, sendQueue: 6 }],
])('%s: the host is woken, again and again until it is up', (_, change) => {
  const socket: Row = { cookie: 9 };
  const { sleep, told } = setUp(ONE, [socket]);
  sleep(true);
  Object.assign(socket, change);
  jest.advanceTimersByTime(60);
  expect(told).toEqual([[ADDRESS, 5]]);
  jest.advanceTimersByTime(1_000);
  expect(told.length).toBeGreaterThan(2);
  sleep(false);
  const { length } = told;
  jest.advanceTimersByTime(5_000);
  expect(told).toHaveLength(length);
});

test.each([
  ['FIN_WAIT1', { state: FIN_WAIT1, sendQueue: 1 }],
  ['FIN_WAIT2', { state: FIN_WAIT2, bytes: 101 }],
  ['LAST_ACK', { state: LAST_ACK, sendQueue: 1 }],
  ['CLOSING', { state: CLOSING, sendQueue: 1 }],
])('the end of a stream alone wakes nobody (%s)', (_, change) => {
  const socket: Row = { cookie: 9 };
  const { sleep, told } = setUp(ONE, [socket]);
  sleep(true);
  Object.assign(socket, change);
  jest.advanceTimersByTime(2_000);
  expect(told).toEqual([]);
});

test("others' connections do not count", () => {
  const { sleep, told } = setUp(ONE, [{ cookie: 9 }, { cookie: 10, sendQueue: 5 }]);
  sleep(true);
  jest.advanceTimersByTime(1_000);
  expect(told).toEqual([]);
});

test('awake, and what is sent again is not answered: the connection is lost, once', () => {
  const socket: Row = { cookie: 9, sendQueue: 5, retransmitted: 3 };
  const { sleep, lost } = setUp(ONE, [socket]);
  sleep(true);
  sleep(false);
  jest.advanceTimersByTime(1_000);
  socket.retransmitted = 5;
  expect(lost).toEqual([]);
  jest.advanceTimersByTime(2_000);
  expect(lost).toEqual([9]);
  jest.advanceTimersByTime(5_000);
  expect(lost).toEqual([9]);
});

test('awake, and it is answered: the connection is good', () => {
  const socket: Row = { cookie: 9, sendQueue: 5 };
  const { sleep, lost } = setUp(ONE, [socket]);
  sleep(true);
  sleep(false);
  socket.bytes = 105;
  jest.advanceTimersByTime(1_000);
  socket.retransmitted = 9;
  jest.advanceTimersByTime(5_000);
  expect(lost).toEqual([]);
});

test('awake, and nothing was sent again yet: too early to judge', () => {
  const { sleep, lost } = setUp(ONE, [{ cookie: 9, sendQueue: 5, retransmitted: 4 }]);
  sleep(true);
  sleep(false);
  jest.advanceTimersByTime(20_000);
  expect(lost).toEqual([]);
});

test('closed: nothing is looked for any more', () => {
  const { sleep, looks, close } = setUp(ONE, [{ cookie: 9 }]);
  sleep(true);
  close();
  const before = looks();
  jest.advanceTimersByTime(5_000);
  expect(looks()).toBe(before);
});

test('the last look before this host sleeps itself: what waits for one that sleeps is told at once, and told to wait', () => {
  const sockets: Row[] = [{ cookie: 9 }];
  const { sleep, told, waits } = setUp(ONE, sockets);
  expect(waits()).toBe(false);
  sleep(true);
  expect(waits()).toBe(false);
  sockets[0].bytes = 105;
  expect(waits()).toBe(true);
  expect(told).toEqual([[ADDRESS, 5]]);
  expect(waits()).toBe(true);
  expect(told).toHaveLength(1);
  sleep(false);
  expect(waits()).toBe(false);
});

test('a look for connections that are doubtful does not put off the one for a host that falls asleep', () => {
  const sockets: Row[] = [{ cookie: 9 }];
  const { sleep, told } = setUp(ONE, sockets);
  sleep(true);
  sleep(false);
  jest.advanceTimersByTime(60);
  sleep(true);
  sockets[0].bytes = 105;
  jest.advanceTimersByTime(60);
  expect(told).toEqual([[ADDRESS, 5]]);
});
