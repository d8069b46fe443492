/** What only concerns people at a terminal: colour, tables, durations, a progress line. */

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan' | 'magenta';
const CODES: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
};

export type Paint = (style: Style, text: string) => string;

/** Colours for `stream`: none unless it is a terminal and NO_COLOR is unset (https://no-color.org). */
export function painter(stream: { isTTY?: boolean }): Paint {
  const colour = stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  return (style, text) => (colour ? `\x1b[${CODES[style][0]}m${text}\x1b[${CODES[style][1]}m` : text);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what an escape sequence is
const ESCAPES = /\x1b\[\d+m/g;
const width = (text: string) => text.replace(ESCAPES, '').length;

/** How many columns there are: no limit where it is no terminal. */
export function columnsOf(stream: { isTTY?: boolean; columns?: number }): number {
  return (stream.isTTY && stream.columns) || Number.POSITIVE_INFINITY;
}

/** Breaks lines between words only; what does not fit goes on `indent` columns from the left. */
export function fold(text: string, columns: number, indent: number): string {
  let at = 0;
  let folded = '';
  // With the space before each word, of which a line that is begun has none.
  for (const word of text.match(/ *[^ ]+/g) ?? []) {
    const fits = at + width(word) <= columns || at === 0;
    folded += fits ? word : `\n${' '.repeat(indent)}${word.trimStart()}`;
    at = fits ? at + width(word) : indent + width(word.trimStart());
  }
  return folded;
}

/**
 * Left-aligned columns, two spaces apart; columns named in `right` are right-aligned. The last one is a list of words,
 * and is folded where the terminal ends.
 */
export function table(
  rows: ReadonlyArray<readonly string[]>,
  right: ReadonlySet<number> = new Set(),
  columns = Number.POSITIVE_INFINITY,
): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => width(row[column]))));
  const cell = (text: string, column: number) => {
    const padding = ' '.repeat(widths[column] - width(text));
    return right.has(column) ? padding + text : text + padding;
  };
  const indent = widths.slice(0, -1).reduce((sum, one) => sum + one + 2, 0);
  return rows.map((row) => fold(row.map(cell).join('  ').trimEnd(), columns, indent)).join('\n');
}

/** `850ms`, `3.2s`, `12s`, `5m`, `3h`, `2d`: as exact as is of use. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(Math.max(0, ms))}ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)}s`;
  const [unit, size] =
    ms < 120_000
      ? ['s', 1_000]
      : ms < 7_200_000
        ? ['m', 60_000]
        : ms < 172_800_000
          ? ['h', 3_600_000]
          : ['d', 86_400_000];
  return `${Math.floor(ms / Number(size))}${unit}`;
}

/** A moment in `--json`: UTC, to the millisecond. */
export function iso(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

/** The same to the microsecond: events are often that close. */
export function isoMicro(unixMs: number): string {
  const micros = Math.floor((unixMs - Math.floor(unixMs)) * 1_000);
  return iso(Math.floor(unixMs)).replace('Z', `${String(micros).padStart(3, '0')}Z`);
}

/** Local day: `2026-11-29`. */
export function day(unixMs: number): string {
  const date = new Date(unixMs);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Local time of day with milliseconds. */
export function clock(unixMs: number): string {
  const date = new Date(unixMs);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

export interface Progress {
  /** Shows what is being done now. */
  step(text: string): void;
  /** Removes the line. */
  done(): void;
}

/** One line about what is being done; on standard error, and only when that is a terminal. */
export function progressLine(stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY) return { step: () => undefined, done: () => undefined };
  const paint = painter(stream);
  const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
  let frame = 0;
  let text = '';
  let drawn = false;
  const draw = () => {
    drawn = true;
    stream.write(`\r\x1b[2K${paint('cyan', frames[frame++ % frames.length])} ${text}`);
  };
  const timer = setInterval(draw, 80);
  timer.unref();
  return {
    step: (next) => {
      text = next;
      draw();
    },
    done: () => {
      clearInterval(timer);
      if (drawn) stream.write('\r\x1b[2K');
      drawn = false;
    },
  };
}
