/** What an evaluation finds: figures, each beside what it is compared with, and the reach it is held to. */
import { markdownTable, median } from '../../bench/lib/rows';

/** A bound on a figure. */
export interface Reach {
  /** The largest figure that is within reach. */
  readonly most?: number;
  /** The smallest one. */
  readonly least?: number;
}

/** One figure of an evaluation. */
export interface Figure {
  readonly what: string;
  /** What was measured of ours. */
  readonly value: number;
  /** What was measured of the reference in the same run; null: the value itself is held to the reach. */
  readonly reference: number | null;
  /** Of value and reference. */
  readonly unit: string;
  /** value / reference, or the value. */
  readonly figure: number;
  /** Of the rounds that the figure is the median of: how many, and between which figures half of them are. */
  readonly spread?: { readonly rounds: number; readonly low: number; readonly high: number };
  /** null: for information. */
  readonly reach: Reach | null;
}

export interface Evaluation {
  readonly name: string;
  readonly title: string;
  /** @param progress what is being done, for a terminal */
  run(progress: (text: string) => void): Promise<Figure[]>;
}

/** A figure that is the ratio of ours to the reference of the same run. */
export function ratio(what: string, unit: string, value: number, reference: number, reach: Reach | null): Figure {
  return { what, unit, value, reference, figure: value / reference, reach };
}

/**
 * A ratio that was measured again and again: the median of the rounds' own ratios, as the machine is not the same in all
 * of them.
 *
 * @param values of ours, one of each round
 * @param references of the same rounds
 */
export function paired(
  what: string,
  unit: string,
  values: readonly number[],
  references: readonly number[],
  reach: Reach | null,
): Figure {
  const ratios = values.map((value, i) => value / references[i]).sort((a, b) => a - b);
  const quarter = ratios.length >> 2;
  const spread = { rounds: ratios.length, low: ratios[quarter], high: ratios[ratios.length - 1 - quarter] };
  const [value, reference] = [median(values), median(references)];
  return { what, unit, value, reference, figure: median(ratios), spread, reach };
}

/** A figure that stands by itself. */
export function absolute(what: string, unit: string, value: number, reach: Reach | null): Figure {
  return { what, unit, value, reference: null, figure: value, reach };
}

/** Whether a figure is within its reach. One that is not a number is not. */
export function isWithin({ figure, reach }: Figure): boolean {
  if (!reach) return true;
  return Number.isFinite(figure) && figure <= (reach.most ?? Infinity) && figure >= (reach.least ?? -Infinity);
}

/** The table of an evaluation, as Markdown. */
export function table(figures: readonly Figure[]): string {
  const spread = figures.some((f) => f.spread) ? ['half of the rounds'] : [];
  const head = ['what', 'unit', 'value', 'reference', 'figure', ...spread, 'reach', 'within'];
  const rows = figures.map((f) => [
    f.what,
    f.unit,
    digits(f.value),
    f.reference === null ? '–' : digits(f.reference),
    digits(f.figure),
    ...spread.map(() => spreadText(f)),
    reachText(f.reach),
    f.reach ? (isWithin(f) ? 'yes' : 'NO') : '–',
  ]);
  return markdownTable([head, ...rows]);
}

/** The last line of an evaluation: the figures that are held to a reach. */
export function lastLine(name: string, figures: readonly Figure[]): string {
  const held = figures.filter((f) => f.reach);
  const parts = held.map((f) => {
    const spread = f.spread ? `; ${spreadText(f)}` : '';
    return `${digits(f.figure)} (${isWithin(f) ? '' : 'NOT '}${reachText(f.reach)}${spread})`;
  });
  return `${name}: ${parts.join(', ')}`;
}

function reachText(reach: Reach | null): string {
  if (!reach) return '–';
  const bounds = [
    reach.least === undefined ? '' : `≥ ${reach.least}`,
    reach.most === undefined ? '' : `≤ ${reach.most}`,
  ];
  return bounds.filter(Boolean).join(', ');
}

function spreadText({ spread }: Figure): string {
  return spread ? `${digits(spread.low)}–${digits(spread.high)}, of ${spread.rounds}` : '–';
}

function digits(x: number): string {
  return Math.abs(x) >= 100 ? x.toFixed(0) : x.toFixed(2);
}
