/** When the seed wakes a host for data that no member sees waiting. */
import { type Sent, WaitingData } from '../../../../src/runtime/seed/data/waiting-data';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function setUp() {
  const woken: string[] = [];
  let suspended: string[] = [];
  let connections: Sent[] = [];
  const data = new WaitingData({
    suspended: () => suspended,
    sentTo: (host) => (host === 'db' ? connections : []),
    onData: (host, by, epoch) => woken.push(`${host} by ${by}, epoch ${epoch}`),
  });
  return {
    woken,
    sent: (bytes: number, waits = false, key = 'a') => {
      connections = [{ key, by: 'web', epoch: 5, bytes, waits }];
    },
    asks: (host: string) => data.asks(host),
    sleep: (...hosts: string[]) => {
      suspended = hosts;
      data.look();
    },
    close: () => data.close(),
  };
}

test('what was sent before wakes nobody; what is sent then does, until the host is up', () => {
  const { woken, sent, sleep } = setUp();
  sent(100);
  sleep('db');
  jest.advanceTimersByTime(1_000);
  expect(woken).toEqual([]);
  sent(101);
  jest.advanceTimersByTime(60);
  expect(woken).toEqual(['db by web, epoch 5']);
  jest.advanceTimersByTime(500);
  expect(woken.length).toBeGreaterThan(3);
  sleep();
  const { length } = woken;
  jest.advanceTimersByTime(5_000);
  expect(woken).toHaveLength(length);
});

test('what came in the last moment before the freeze, and was not taken, wakes it', () => {
  const { woken, sent, sleep } = setUp();
  sent(100, true);
  sleep('db');
  expect(woken).toHaveLength(1);
});

test('what came between its question and the freeze wakes it, also when it was read', () => {
  const { woken, sent, asks, sleep } = setUp();
  sent(100);
  asks('db');
  sleep('web'); // another one's freeze changes nothing
  sent(101);
  sleep('db');
  expect(woken).toHaveLength(1);
});

test('a connection that came between its question and the freeze wakes it', () => {
  const { woken, sent, asks, sleep } = setUp();
  asks('db');
  sent(1, false, 'b');
  sleep('db');
  expect(woken).toHaveLength(1);
});

test('nothing came after its question: it sleeps', () => {
  const { woken, sent, asks, sleep } = setUp();
  sent(100);
  asks('db');
  sleep('db');
  jest.advanceTimersByTime(1_000);
  expect(woken).toEqual([]);
});

test('it asked, and stayed: what came meanwhile was answered', () => {
  const { woken, sent, asks, sleep } = setUp();
  sent(100);
  asks('db');
  sent(200);
  jest.advanceTimersByTime(11_000);
  sleep('db');
  jest.advanceTimersByTime(1_000);
  expect(woken).toEqual([]);
});

test('a guest that does not read what it was woken for is not woken for it again', () => {
  const { woken, sent, sleep } = setUp();
  sent(100, true);
  sleep('db');
  sleep();
  sleep('db');
  jest.advanceTimersByTime(1_000);
  expect(woken).toHaveLength(1);
  sent(200, true);
  jest.advanceTimersByTime(60);
  expect(woken).toHaveLength(2);
});

test('a connection that is new', () => {
  const { woken, sent, sleep } = setUp();
  sleep('db');
  sent(1, false, 'b');
  jest.advanceTimersByTime(60);
  expect(woken).toHaveLength(1);
});

test('other hosts; and none any more', () => {
  const { woken, sent, sleep, close } = setUp();
  sleep('web');
  sent(7, true);
  jest.advanceTimersByTime(1_000);
  expect(woken).toEqual([]);
  sleep('db');
  close();
  jest.advanceTimersByTime(1_000);
  expect(woken).toHaveLength(1);
});
