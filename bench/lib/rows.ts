/** One line of a benchmark table: what we have beside its native baseline of the same run, held against a budget. */
export interface Row {
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
  /** The native figure of the same run; null where the budget is absolute. */
  readonly baseline: number | null;
  /** value / baseline; null where the budget is absolute. */
  readonly ratio: number | null;
  /** Upper bound, on the ratio where there is one, else on the value; null: for information. */
  readonly budget: number | null;
  readonly within: boolean | null;
}

export interface Suite {
  readonly name: string;
  readonly title: string;
  run(progress: (text: string) => void): Promise<Row[]>;
}

/** A suite that could not be measured to its end. */
export class IncompleteError extends Error {
  constructor(
    /** What was measured by then. */
    readonly rows: readonly Row[],
    cause: Error,
  ) {
    super(cause.message, { cause });
    this.name = 'IncompleteError';
  }
}

/** A row held against its baseline by their ratio. */
export function ratioRow(metric: string, unit: string, value: number, baseline: number, budget: number | null): Row {
  const ratio = value / baseline;
  return { metric, unit, value, baseline, ratio, budget, within: budget === null ? null : ratio <= budget };
}

/** A row held against an absolute budget. */
export function absoluteRow(metric: string, unit: string, value: number, budget: number | null): Row {
  return { metric, unit, value, baseline: null, ratio: null, budget, within: budget === null ? null : value <= budget };
}

const figure = (x: number | null) => (x === null ? '–' : Math.abs(x) >= 100 ? x.toFixed(0) : x.toFixed(2));

/**
 * A row held against its baseline by their ratio, which is to be at least `least`: given as the inverse, so that less
 * is better.
 */
export function rateRow(metric: string, unit: string, value: number, baseline: number, least: number): Row {
  const ratio = baseline / value;
  return { metric, unit, value, baseline, ratio, budget: Number((1 / least).toFixed(2)), within: ratio <= 1 / least };
}

/** The rows as a Markdown table. */
export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map((r) => [
    r.metric,
    r.unit,
    figure(r.value),
    figure(r.baseline),
    figure(r.ratio),
    r.budget === null ? '–' : `≤ ${r.budget}`,
    r.within === null ? '–' : r.within ? 'yes' : 'NO',
  ]);
  return markdownTable([['metric', 'unit', 'value', 'baseline', 'ratio', 'budget', 'within'], ...cells]);
}

/** @param table the head first */
export function markdownTable(table: ReadonlyArray<readonly string[]>): string {
  const widths = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  return [line(table[0]), `| ${widths.map((w) => '-'.repeat(w)).join(' | ')} |`, ...table.slice(1).map(line)].join(
    '\n',
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
