import { type Located, LocateError } from '../../../../src/runtime/control/index';
import { Locator } from '../../../../src/runtime/supervisor/sockets/locator';

const answer: Located = { location: { host: 'web', epoch: 7, state: 'running', ports: [] }, realPort: 80 };

/** A session of which the test decides when and how each ask ends. */
function session() {
  const asked: Array<{
    key: string;
    staleEpoch?: number;
    signal: AbortSignal;
    resolve(answer: Located): void;
    reject(error: LocateError): void;
  }> = [];
  return {
    asked,
    locate: (host: string, port: number, { staleEpoch, signal }: { staleEpoch?: number; signal?: AbortSignal } = {}) =>
      new Promise<Located>((resolve, reject) => {
        asked.push({ key: `${host}:${port}`, staleEpoch, signal: signal!, resolve, reject });
        signal!.addEventListener('abort', () => reject(new LocateError('ETIMEDOUT', 'given up')), { once: true });
      }),
  };
}

test('one question per port, however many wait for its answer', async () => {
  const seed = session();
  const locator = new Locator();
  locator.use(seed);
  const waiting = [locator.locate('web', 80), locator.locate('web', 80), locator.locate('web', 81)];
  expect(seed.asked.map((a) => a.key)).toEqual(['web:80', 'web:81']);
  expect(locator.pending).toBe(2);
  seed.asked[0].resolve(answer);
  expect(await Promise.all(waiting.slice(0, 2))).toEqual([answer, answer]);
  seed.asked[1].reject(new LocateError('ECONNREFUSED', 'no'));
  await expect(waiting[2]).rejects.toMatchObject({ errno: 'ECONNREFUSED' });
  expect(locator.pending).toBe(0);
  // Answered questions are asked anew.
  void locator.locate('web', 80).catch(() => undefined);
  expect(seed.asked).toHaveLength(3);
  locator.close('over');
});

test('an attempt that has ended is not given up as well', async () => {
  const seed = session();
  const locator = new Locator();
  locator.use(seed);
  const waiting = [locator.locate('web', 80), locator.locate('web', 81)];
  seed.asked[0].resolve(answer);
  seed.asked[1].reject(new LocateError('ECONNREFUSED', 'no'));
  await Promise.allSettled(waiting);
  expect(seed.asked.map(({ signal }) => signal.aborted)).toEqual([false, false]);
  locator.close('over');
});

test('a question waits while there is no session, and goes through the next one', async () => {
  const locator = new Locator();
  const waiting = locator.locate('web', 80);
  const first = session();
  locator.use(first);
  locator.use(undefined);
  // The first session ends, and with it its attempt: that is not the question's end.
  expect(first.asked[0].signal.aborted).toBe(true);
  await new Promise((resolve) => setImmediate(resolve));
  expect(locator.pending).toBe(1);
  const second = session();
  locator.use(second);
  second.asked[0].resolve(answer);
  expect(await waiting).toBe(answer);
});

test('the last one that gives up takes the question back', async () => {
  const seed = session();
  const locator = new Locator();
  locator.use(seed);
  const callers = [new AbortController(), new AbortController()];
  const waiting = callers.map(({ signal }) => locator.locate('web', 80, { signal }));
  callers[0].abort();
  await expect(waiting[0]).rejects.toMatchObject({ errno: 'ETIMEDOUT' });
  expect(seed.asked[0].signal.aborted).toBe(false);
  callers[1].abort();
  await expect(waiting[1]).rejects.toMatchObject({ errno: 'ETIMEDOUT' });
  expect(seed.asked[0].signal.aborted).toBe(true);
  expect(locator.pending).toBe(0);
  await expect(locator.locate('web', 80, { signal: callers[0].signal })).rejects.toMatchObject({ errno: 'ETIMEDOUT' });
  expect(locator.pending).toBe(0);
});

test('a doubt about an epoch asks again, an older one does not', async () => {
  const seed = session();
  const locator = new Locator();
  locator.use(seed);
  const waiting = [
    locator.locate('web', 80),
    locator.locate('web', 80, { staleEpoch: 5 }),
    locator.locate('web', 80, { staleEpoch: 4 }),
  ];
  expect(seed.asked.map((a) => a.staleEpoch)).toEqual([undefined, 5]);
  seed.asked[1].resolve(answer);
  expect(await Promise.all(waiting)).toEqual([answer, answer, answer]);
});
