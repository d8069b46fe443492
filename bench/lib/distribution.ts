/** Distributions: the table and the plot of the Boxer papers. */

export interface Distribution {
  readonly name: string;
  readonly samples: readonly number[];
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length);
}

/** The value that this part (0 to 1) of all values does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))];
}

/** Connection type × mean, median, standard deviation, min, max, and the tail. */
export function distributionTable(distributions: readonly Distribution[]): string {
  const rows = distributions.map(({ name, samples }) => {
    const figures = [
      mean(samples),
      quantile(samples, 0.5),
      deviation(samples),
      quantile(samples, 0),
      quantile(samples, 1),
      quantile(samples, 0.99),
      quantile(samples, 0.999),
    ];
    return `| ${[name, ...figures.map((figure) => figure.toFixed(1)), samples.length].join(' | ')} |`;
  });
  return [
    '| connection type | mean | median | std. | min | max | p99 | p99.9 | n |',
    `|${' --- |'.repeat(9)}`,
    ...rows,
  ].join('\n');
}

const COLOURS = ['#8b97aa', '#3fb36b', '#efc062', '#4a79c9', '#d4504c', '#a06cd5'];
const WIDTH = 760;
const PANEL = 300;
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 20, 34, 44];

export interface Plot {
  readonly title: string;
  readonly distributions: readonly Distribution[];
}

/**
 * Empirical cumulative distributions below each other, on a logarithmic axis of microseconds: one self-contained SVG.
 */
export function drawDistributions(title: string, plots: readonly Plot[]): string {
  const height = 44 + plots.length * PANEL;
  const bodies = plots.map((plot, i) => `<g transform="translate(0 ${44 + i * PANEL})">${drawPlot(plot)}</g>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${title}">
<style>text{font:12px ui-sans-serif,system-ui,"Segoe UI",Helvetica,Arial,sans-serif;fill:#d9dee8}.title{font-size:16px;font-weight:600}.panel{fill:#efc062}.grid{stroke:#2a3343}</style>
<rect width="${WIDTH}" height="${height}" rx="10" fill="#171d28"/>
<text x="20" y="28" class="title">${title}</text>
${bodies.join('\n')}
</svg>
`;
}

function drawPlot({ title, distributions }: Plot): string {
  const all = distributions.flatMap(({ samples }) => samples);
  const first = Math.floor(Math.log10(quantile(all, 0)) * 4) / 4;
  const last = Math.ceil(Math.log10(quantile(all, 1)) * 4) / 4;
  const x = (value: number) => LEFT + ((Math.log10(value) - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (part: number) => TOP + (1 - part) * (PANEL - TOP - BOTTOM);
  const out = [`<text x="20" y="18" class="panel">${title}</text>`];
  for (const part of [0, 0.25, 0.5, 0.75, 1])
    out.push(
      `<path class="grid" d="M${LEFT} ${y(part)}H${WIDTH - RIGHT}"/><text x="${LEFT - 8}" y="${y(part) + 4}" text-anchor="end">${part}</text>`,
    );
  for (let power = Math.ceil(first); power <= last; power++)
    for (const digit of [1, 2, 5]) {
      const value = digit * 10 ** power;
      if (Math.log10(value) > last) break;
      const at = x(value).toFixed(1);
      out.push(
        `<path class="grid" d="M${at} ${y(1)}V${y(0)}"/><text x="${at}" y="${y(0) + 16}" text-anchor="middle">${value}</text>`,
      );
    }
  out.push(`<text x="${WIDTH - RIGHT}" y="${y(0) + 34}" text-anchor="end">microseconds</text>`);
  distributions.forEach(({ name, samples }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const sorted = [...samples].sort((a, b) => a - b);
    const points = Array.from({ length: 401 }, (_, k) => {
      const at = Math.min(sorted.length - 1, Math.floor((k / 400) * sorted.length));
      return `${x(sorted[at]).toFixed(1)} ${y(k / 400).toFixed(1)}`;
    });
    out.push(`<path d="M${points.join('L')}" fill="none" stroke="${colour}" stroke-width="1.8"/>`);
    out.push(`<text x="${LEFT + 12 + i * 170}" y="${y(0) + 34}" style="fill:${colour}">${name}</text>`);
  });
  return out.join('\n');
}
