import { parseSchedule } from '../../../src/contract/manifest/schedule';

const FROM = '2026-11-29T12:34:56.789Z';

test.each([
  ['rate(1 minute)', '2026-11-29T12:35:56.789Z'],
  ['rate(5 minutes)', '2026-11-29T12:39:56.789Z'],
  ['rate(1 hour)', '2026-11-29T13:34:56.789Z'],
  ['rate(2 days)', '2026-12-01T12:34:56.789Z'],
  // Those of EventBridge's own documentation.
  ['cron(0 10 * * ? *)', '2026-11-30T10:00:00.000Z'],
  ['cron(15 12 * * ? *)', '2026-11-30T12:15:00.000Z'],
  ['cron(0 18 ? * MON-FRI *)', '2026-11-30T18:00:00.000Z'],
  ['cron(0 8 1 * ? *)', '2026-12-01T08:00:00.000Z'],
  ['cron(0/15 * * * ? *)', '2026-11-29T12:45:00.000Z'],
  ['cron(0/10 * ? * MON-FRI *)', '2026-11-30T00:00:00.000Z'],
  ['cron(0/5 8-17 ? * MON-FRI *)', '2026-11-30T08:00:00.000Z'],
  // Sunday is 1, Saturday 7; the second Tuesday; the last Friday; the last day of the month.
  ['cron(0 20 ? * 1 *)', '2026-11-29T20:00:00.000Z'],
  ['cron(0 20 ? * 7 *)', '2026-12-05T20:00:00.000Z'],
  ['cron(0 9 ? * 3#2 *)', '2026-12-08T09:00:00.000Z'],
  ['cron(0 9 ? * 6L *)', '2026-12-25T09:00:00.000Z'],
  ['cron(0 9 L * ? *)', '2026-11-30T09:00:00.000Z'],
  ['cron(0 0 1 1 ? 2030)', '2030-01-01T00:00:00.000Z'],
])('%s', (expression, next) => {
  const time = parseSchedule(expression)!(Date.parse(FROM));
  expect(new Date(time!).toISOString()).toBe(next);
});

test('a time that has passed never comes again', () => {
  expect(parseSchedule('cron(0 0 1 1 ? 2020)')!(Date.parse(FROM))).toBeUndefined();
});

test.each([
  '',
  'rate(0 minutes)',
  'rate(1 minutes)',
  'rate(5 minute)',
  'rate(5 seconds)',
  'rate(-5 minutes)',
  'cron(* * * * *)',
  'cron(0 8 * * * *)',
  'cron(0 8 ? * ? *)',
  'cron(61 8 * * ? *)',
  'cron(0 8 * 13 ? *)',
  '0 8 * * *',
  'at(2026-11-29T12:00:00)',
])("'%s' is no schedule", (expression) => {
  expect(parseSchedule(expression)).toBeUndefined();
});
