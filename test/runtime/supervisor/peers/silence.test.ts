/** When a member is asked whether it is there, and when the connection to the seed is given up. */
import { Silence } from '../../../../src/runtime/supervisor/peers/silence';

const ADDRESS = 0x6440_0102;
const CONTROL_PORT = 9_000;

interface Row {
  readonly cookie: number;
  readonly port?: number;
  sendQueue: number;
  /** `performance.now()` */
  acked: number;
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function setUp(sockets: Row[], epoch = 5, answers = true) {
  const asked: Array<[address: number, client: boolean, seconds: number]> = [];
  let reconnects = 0;
  const begin = performance.now();
  const silence = new Silence({
    peers: {
      noted: () =>
        sockets.flatMap(({ cookie, port }) =>
          port === undefined ? { cookie, peer: ADDRESS, localPort: 1, epoch, ended: false, probing: false } : [],
        ),
    },
    native: {
      tcpSockets: () =>
        Float64Array.from(
          sockets.flatMap(({ cookie, port = 1, sendQueue, acked }) => [
            ...[1, port, 3, 4, 1, sendQueue, 0, 0, 7, 100, cookie, performance.now() - acked, 0],
          ]),
        ),
    },
    answers: () => answers,
    isControl: ({ localPort }) => localPort === CONTROL_PORT,
    onSilent: ({ address, client }) => asked.push([address, client, Math.round((performance.now() - begin) / 1_000)]),
    onSeedSilent: () => {
      reconnects += 1;
    },
  });
  return { asked, reconnects: () => reconnects, close: () => silence.close() };
}

const waits = (more: Partial<Row> = {}): Row => ({
  cookie: 9,
  sendQueue: 5,
  acked: performance.now() - 60_000,
  ...more,
});

test('data that nobody acknowledges: its member is asked, and asked again for as long as that is so', () => {
  const one = waits();
  const { asked } = setUp([one]);
  jest.advanceTimersByTime(9_500);
  expect(asked).toEqual([3, 6, 9].map((second) => [ADDRESS, false, second]));
  one.acked = performance.now();
  one.sendQueue = 0;
  jest.advanceTimersByTime(60_000);
  expect(asked).toHaveLength(3);
});

test('the same of a client', () => {
  const { asked } = setUp([waits()], 0);
  jest.advanceTimersByTime(3_500);
  expect(asked).toEqual([[ADDRESS, true, 3]]);
});

test('several connections with one member: it is asked once', () => {
  const { asked } = setUp([waits(), waits({ cookie: 10 })]);
  jest.advanceTimersByTime(3_500);
  expect(asked).toHaveLength(1);
});

test.each<[string, () => Row[], boolean]>([
  ['nothing waits', () => [waits({ sendQueue: 0 })], true],
  ['a member that is suspended', () => [waits()], false],
])('%s: nobody is asked', (_, rows, answers) => {
  const { asked } = setUp(rows(), 5, answers);
  jest.advanceTimersByTime(60_000);
  expect(asked).toEqual([]);
});

test('a slow path, on which something is acknowledged all the time: nobody is asked', () => {
  const one = waits();
  const { asked } = setUp([one]);
  for (let second = 0; second < 30; second++) {
    one.acked = performance.now() + 500;
    jest.advanceTimersByTime(1_000);
  }
  expect(asked).toEqual([]);
});

test('the seed acknowledges nothing: one new connection is made, and not before it had time', () => {
  const control = waits({ cookie: 7, port: CONTROL_PORT });
  const sockets = [control];
  const { asked, reconnects } = setUp(sockets);
  jest.advanceTimersByTime(4_500);
  expect(reconnects()).toBe(0);
  jest.advanceTimersByTime(1_000);
  expect(reconnects()).toBe(1);
  sockets.splice(0, 1, waits({ cookie: 8, port: CONTROL_PORT, sendQueue: 0 }));
  jest.advanceTimersByTime(60_000);
  expect([asked, reconnects()]).toEqual([[], 1]);
});

test('closed: nothing is looked at', () => {
  const { close } = setUp([]);
  close();
  expect(jest.getTimerCount()).toBe(0);
});
