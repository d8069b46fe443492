/** Schedules by a clock that is set. Only the time of day jumps: timers count the time that passes. */
import { Schedule } from '../../../../src/runtime/seed/machine/schedule';

const [MINUTE, HOUR] = [60_000, 3_600_000];
const START = Date.parse('2026-11-30T08:30:00Z');

let called: string[];
let schedule: Schedule | undefined;
beforeEach(() => {
  called = [];
  jest.useFakeTimers({ now: START });
});
afterEach(() => {
  schedule?.close();
  jest.useRealTimers();
});

function start(expression: string): void {
  schedule = new Schedule(expression, () => called.push(new Date().toISOString().slice(5, 16)));
}
const pass = (time: number) => jest.advanceTimersByTime(time);
/** The clock is set: time has not passed. */
const set = (by: number) => jest.setSystemTime(Date.now() + by);

test('a clock that stays as it is', () => {
  start('cron(0 9 * * ? *)');
  pass(29 * MINUTE);
  expect(called).toEqual([]);
  pass(2 * MINUTE);
  expect(called).toEqual(['11-30T09:00']);
  pass(24 * HOUR);
  expect(called).toEqual(['11-30T09:00', '12-01T09:00']);
});

test('a time that a clock leaves out when it is set forward is called, once', () => {
  start('cron(0 9 * * ? *)');
  set(3 * 24 * HOUR);
  pass(MINUTE);
  expect(called).toEqual(['12-03T08:30']);
  pass(HOUR);
  expect(called).toEqual(['12-03T08:30', '12-03T09:00']);
});

test.each([1, 5, 23])('set back by %s hours: a daily time does not come twice', (hours) => {
  start('cron(0 9 * * ? *)');
  pass(31 * MINUTE);
  set(-hours * HOUR);
  pass(hours * HOUR + 2 * MINUTE);
  expect(called).toEqual(['11-30T09:00']);
  pass(24 * HOUR);
  expect(called).toHaveLength(2);
});

test.each(['rate(5 minutes)', 'cron(0/5 * * * ? *)'])('%s set back by hours goes on', (expression) => {
  start(expression);
  pass(6 * MINUTE);
  expect(called).toHaveLength(1);
  set(-7 * HOUR);
  pass(10 * MINUTE + MINUTE);
  expect(called).toHaveLength(3);
});

test('set back by years: the schedule is that of the new time', () => {
  start('cron(0 9 * * ? *)');
  set(-400 * 24 * HOUR);
  pass(24 * HOUR + MINUTE);
  expect(called).toHaveLength(1);
});

test('a schedule that never comes again is silent, and one far ahead comes', () => {
  start('cron(0 0 1 1 ? 2027)');
  pass(40 * 24 * HOUR);
  expect(called).toEqual(['01-01T00:00']);
});
