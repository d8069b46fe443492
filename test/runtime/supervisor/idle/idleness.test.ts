import { createIdleness, type Look, watchIdleness } from '../../../../src/runtime/supervisor/idle/idleness';

const quiet: Look = {
  cpu: 0,
  connections: 0,
  moved: false,
  queued: 0,
  pending: 0,
  closed: () => undefined,
  holders: () => ({}),
};

/** Judges looks 100 ms apart; returns the first one (counted from 1) that found the host idle. */
function firstIdle(
  looks: readonly Look[],
  releasePolicy: 'no-connections' | 'no-traffic' = 'no-connections',
  idleTimeout = 1_000,
) {
  const judge = createIdleness(idleTimeout, releasePolicy);
  return looks.findIndex((look) => judge(look, 100).idle) + 1;
}
const times = (n: number, look: Partial<Look> = {}) => Array.from({ length: n }, () => ({ ...quiet, ...look }));

test('idle after idleTimeout, not before', () => {
  expect(firstIdle(times(30))).toBe(10);
});

test.each([
  ['an open connection', { connections: 1 }],
  ['a connection that waits to be accepted', { queued: 1 }],
  ['a guest that waits for a connection', { pending: 1 }],
])('%s starts the time anew', (_, look) => {
  expect(firstIdle([...times(5), { ...quiet, ...look }, ...times(30)])).toBeGreaterThan(14);
});

test('a connection that came and went between two looks does too, one that closed long ago does not', () => {
  expect(firstIdle(times(30, { closed: () => 40_000 }))).toBe(10);
  expect(firstIdle([...times(9), ...times(30, { closed: () => 300 })])).toBe(0);
  expect(firstIdle([...times(9), ...times(1, { closed: () => 300 }), ...times(30)])).toBe(17);
});

test('no-traffic: a quiet connection does not hold, one that moves bytes does', () => {
  expect(firstIdle(times(30, { connections: 3 }), 'no-traffic')).toBe(10);
  expect(firstIdle([...times(9), ...times(1, { connections: 1, moved: true }), ...times(30)], 'no-traffic')).toBe(20);
  expect(firstIdle(times(30, { connections: 3 }), 'no-connections')).toBe(0);
});

test('CPU: 5 % of one over the window is housekeeping, more is work', () => {
  expect(firstIdle(times(30, { cpu: 5 }))).toBe(10);
  expect(firstIdle(times(30, { cpu: 6 }))).toBe(0);
  // A second of start-up, then nothing: idle when the window has passed it.
  expect(firstIdle([...times(10, { cpu: 100 }), ...times(30)])).toBe(20);
});

test('what held the host last is told', () => {
  const judge = createIdleness(200, 'no-connections');
  judge({ ...quiet, connections: 1 }, 100);
  judge(quiet, 100);
  expect(judge(quiet, 100)).toEqual({ idle: true, heldBy: 'connections' });
});

test('a stretch in which nobody looked (a freeze) is not idleness', async () => {
  const watch = new AbortController();
  let looks = 0;
  const start = performance.now();
  const idleAt = await new Promise<number>((resolve) => {
    const look = () => {
      // The whole process stands still, as in a freeze.
      if (++looks === 3) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
      return quiet;
    };
    const onIdle = () => resolve(performance.now());
    watchIdleness(
      { idleTimeout: 300, releasePolicy: 'no-connections', look, onHeld: () => undefined, onIdle },
      watch.signal,
    );
  });
  expect(idleAt - start).toBeGreaterThan(600);
  watch.abort();
});

test('an aborted watch looks no more', () => {
  jest.useFakeTimers();
  const watch = new AbortController();
  let looks = 0;
  const look = () => {
    looks++;
    watch.abort();
    return quiet;
  };
  watchIdleness(
    { idleTimeout: 100, releasePolicy: 'no-connections', look, onHeld: () => undefined, onIdle: () => undefined },
    watch.signal,
  );
  jest.runOnlyPendingTimers();
  expect(looks).toBe(1);
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});
