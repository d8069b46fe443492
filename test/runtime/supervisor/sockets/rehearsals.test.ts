/** When first connections are rehearsed. What is done then is in rehearsal.test.ts. */
import type { Outcome } from '../../../../src/runtime/supervisor/sockets/guest-connects';
import { AWAITED, Rehearsals } from '../../../../src/runtime/supervisor/sockets/rehearsals';

let done: string[];
function rehearsals(flat?: number): Rehearsals {
  done = [];
  return new Rehearsals({
    flat,
    guard: (_what, act) => void act(),
    connect: async (): Promise<Outcome> => {
      done.push('connect');
      return 'elsewhere';
    },
    request: async () => {
      done.push('request');
      return [];
    },
  });
}
/** From now on, and with what follows from it. */
const pass = async (ms: number) => void (await jest.advanceTimersByTimeAsync(ms));

beforeEach(() => void jest.useFakeTimers());
afterEach(() => {
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

test('a guest listens and nobody has waited for that: another host connects to it first, then it connects itself', async () => {
  const all = rehearsals();
  all.listens();
  await pass(AWAITED - 1);
  expect(done).toEqual([]);
  await pass(2);
  expect(done).toEqual(['request', 'connect']);
});

test('on network flat no request of another host ever comes', async () => {
  const all = rehearsals(1);
  all.listens();
  await pass(AWAITED + 1);
  expect(done).toEqual(['connect']);
});

test('whoever has waited comes first, also before the next listener', async () => {
  const all = rehearsals();
  all.listens();
  await pass(AWAITED - 1);
  all.met();
  all.listens();
  await pass(2 * AWAITED);
  expect(done).toEqual([]);
});

test('a host that was met before it listens is waited for', async () => {
  const all = rehearsals();
  all.met();
  all.listens();
  await pass(2 * AWAITED);
  expect(done).toEqual([]);
});

test('once, however many guests listen or wait', async () => {
  const all = rehearsals();
  all.beforeConnect();
  all.beforeConnect();
  all.listens();
  all.listens();
  await pass(2 * AWAITED);
  expect(done).toEqual(['connect']);
});

test('a guest that waits for a host rehearses, also where somebody has waited for itself', () => {
  const all = rehearsals();
  all.met();
  all.beforeConnect();
  expect(done).toEqual(['connect']);
});

test('a member that is closed rehearses nothing', async () => {
  const all = rehearsals();
  all.listens();
  all.close();
  all.beforeConnect();
  await pass(2 * AWAITED);
  expect(done).toEqual([]);
});
