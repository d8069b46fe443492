/** What a host's connect waits for, step by step: by the seed's events, which have microseconds. */
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { absoluteRow, median, type Row } from './rows';

/** As many events of a host, in this order, as one connect causes. */
export type Steps = readonly string[];

/** Milliseconds from each event to the next, for each time that all of them came in order. */
export function stepsOf(events: readonly ClusterEvent[], host: string, steps: Steps): number[][] {
  const found: number[][] = [];
  let times: number[] = [];
  for (const { event, time, host: of } of events) {
    if (of !== host) continue;
    if (event === steps[0]) times = [];
    if (event !== steps[times.length]) continue;
    times.push(time);
    if (times.length < steps.length) continue;
    found.push(times.slice(1).map((at, i) => at - times[i]));
    times = [];
  }
  return found;
}

/** A row for each step, and one for what is before the first event and after the last. */
export function stepRows(prefix: string, steps: Steps, taken: readonly (readonly number[])[], whole: number): Row[] {
  const medians = steps.slice(1).map((_, i) => median(taken.map((one) => one[i])));
  const outside = whole - medians.reduce((sum, one) => sum + one, 0);
  return [
    ...medians.map((ms, i) => absoluteRow(`${prefix}${steps[i]} to ${steps[i + 1]}, median`, 'ms', ms, null)),
    absoluteRow(`${prefix}before ${steps[0]} and after ${steps.at(-1)}`, 'ms', outside, null),
  ];
}
