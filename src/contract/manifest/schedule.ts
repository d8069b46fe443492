/**
 * When a host is to be woken: schedule expressions as EventBridge has them, in UTC.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
 */
import { Cron } from 'croner';

/** The next time after another one, both in milliseconds since 1970; undefined: never again. */
export type NextTime = (after: number) => number | undefined;

export const SCHEDULE_RULE = "a schedule like 'rate(5 minutes)' or 'cron(0 8 ? * MON-FRI *)'";

const MINUTE = 60_000;
const UNITS: Readonly<Record<string, number>> = { minute: MINUTE, hour: 60 * MINUTE, day: 1_440 * MINUTE };

/** @returns undefined if it is no schedule */
export function parseSchedule(expression: string): NextTime | undefined {
  const [, kind, inner] = /^(rate|cron)\((.*)\)$/.exec(expression) ?? [];
  if (kind === 'rate') return parseRate(inner);
  return kind === 'cron' ? parseCron(inner) : undefined;
}

function parseRate(inner: string): NextTime | undefined {
  const [, count, unit, plural] = /^([1-9]\d{0,5}) (minute|hour|day)(s?)$/.exec(inner) ?? [];
  // One minute, two minutes: EventBridge is strict about it.
  if (count === undefined || (Number(count) === 1) !== (plural === '')) return undefined;
  const every = Number(count) * UNITS[unit];
  return (after) => after + every;
}

function parseCron(inner: string): NextTime | undefined {
  const fields = inner.trim().split(/\s+/);
  if (fields.length !== 6) return undefined;
  const [minutes, hours, dayOfMonth, month, dayOfWeek, year] = fields;
  // Of the two days, one has to be left open.
  if ((dayOfMonth === '?') === (dayOfWeek === '?')) return undefined;
  // 1 is Sunday there, and 0 elsewhere.
  const days = dayOfWeek.replace(/(?<![#\d])\d+/g, (day) => String(Number(day) - 1));
  const open = (field: string) => field.replace('?', '*');
  try {
    const cron = new Cron(['0', minutes, hours, open(dayOfMonth), month, open(days), year].join(' '), {
      timezone: 'UTC',
      sloppyRanges: true,
    });
    return (after) => cron.nextRun(new Date(after))?.getTime();
  } catch {
    return undefined;
  }
}
