import { LABELS, type SpanState, type Timeline, tickStep } from './timeline';

const FILL: Record<SpanState, string> = {
  imagined: '#3d4757',
  sandbox: '#b9812a',
  guest: '#efc062',
  running: '#3fb36b',
  suspended: '#4a79c9',
  failed: '#d4504c',
};
const WIDTH = 960;
const LEFT = 84;
const RIGHT = 24;
/** Of a panel: its title and the client's line; then the hosts; then the time axis. */
const HEAD = 86;
const ROW = 40;
const BAR = 18;
const AXIS = 34;
const CLIENT = HEAD - 24;

export interface Panel {
  readonly title: string;
  readonly timeline: Timeline;
}

/** Timelines below each other as one self-contained SVG: no script, no font file, readable on light and dark pages. */
export function drawSvg(title: string, panels: readonly Panel[]): string {
  const bodies: string[] = [];
  let y = 44;
  for (const panel of panels) {
    bodies.push(`<g transform="translate(0 ${y})">`, ...drawPanel(panel), '</g>');
    y += HEAD + panel.timeline.lanes.length * ROW + AXIS;
  }
  const height = y + 40;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>
text{font:13px ui-sans-serif,system-ui,"Segoe UI",Helvetica,Arial,sans-serif;fill:#d9dee8}
.title{font-size:16px;font-weight:600}.host{font-weight:600}.small{font-size:11px;fill:#8b97aa}.bright{fill:#c3cbd8}
.panel{fill:#efc062}.grid{stroke:#2a3343}.mark{stroke:#d9dee8;stroke-opacity:.25;stroke-dasharray:2 3}
.connection{stroke:#f0f3f8;stroke-width:1.2}
</style>
<defs><marker id="tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="5" markerHeight="5" orient="auto"><path d="M0 0L6 3L0 6z" fill="#f0f3f8"/></marker></defs>
<rect width="${WIDTH}" height="${height}" rx="10" fill="#171d28"/>
<text x="20" y="32" class="title">${escaped(title)}</text>
${bodies.join('\n')}
${legend(height - 22).join('\n')}
</svg>
`;
}

function drawPanel({ title, timeline }: Panel): string[] {
  const { start, end, lanes, marks } = timeline;
  const x = (time: number) => round(LEFT + ((time - start) / (end - start)) * (WIDTH - LEFT - RIGHT));
  const middle = (row: number) => HEAD + row * ROW + ROW / 2;
  const bottom = middle(lanes.length) - ROW / 2;
  const rowOf = new Map(lanes.map((lane, row) => [lane.host, row]));
  const out = [text(20, 20, title, 'panel')];

  const step = tickStep(end - start, 14);
  for (let time = 0; time <= end - start; time += step) {
    const at = x(start + time);
    out.push(line(at, HEAD - 4, at, bottom, 'grid'));
    out.push(text(at, bottom + 16, step < 1_000 ? `${time} ms` : `${time / 1_000} s`, 'small', 'middle'));
  }

  out.push(text(20, CLIENT, 'client', 'host'));
  for (const mark of marks) {
    const width = Math.max(3, round(x(mark.to) - x(mark.from)));
    out.push(rect(x(mark.from), CLIENT - 9, width, 10, '#d9dee8', mark.label));
    out.push(text(x(mark.from), CLIENT - 16, mark.label, 'small bright'));
    out.push(line(x(mark.from), CLIENT + 4, x(mark.from), bottom, 'mark'));
  }

  lanes.forEach((lane, row) => {
    out.push(text(20, middle(row) + 5, lane.host, 'host'));
    for (const { state, from, to } of lane.spans) {
      const size = state === 'imagined' ? 2 : BAR;
      const width = Math.max(1.5, round(x(to) - x(from)));
      const label = `${lane.host}: ${LABELS[state]}, ${Math.round(to - from)} ms`;
      out.push(rect(x(from), middle(row) - size / 2, width, size, FILL[state], label));
    }
  });
  for (const lane of lanes) {
    const to = middle(rowOf.get(lane.host)!);
    for (const { time, from } of lane.connections) {
      // A host that is not drawn is a client: its connections come from the line above the hosts.
      const y = rowOf.has(from) ? middle(rowOf.get(from)!) : CLIENT + 2;
      const tip = to + (y < to ? -BAR / 2 : BAR / 2);
      out.push(line(x(time), y, x(time), tip, 'connection', `${from || 'client'} → ${lane.host}`));
    }
  }
  return out;
}

function legend(y: number): string[] {
  const out: string[] = [];
  let at = 20;
  for (const state of ['imagined', 'sandbox', 'guest', 'running', 'suspended'] as const) {
    const size = state === 'imagined' ? 2 : 12;
    out.push(rect(at, y - size / 2, 22, size, FILL[state]), text(at + 28, y + 4, LABELS[state], 'small bright'));
    at += 60 + LABELS[state].length * 6;
  }
  return [...out, text(at, y + 4, '↓ a connect that the seed answered', 'small bright')];
}

const round = (value: number) => Math.round(value * 10) / 10;
const escaped = (content: string) => content.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
const tip = (content?: string) => (content ? `<title>${escaped(content)}</title>` : '');

function text(x: number, y: number, content: string, style: string, anchor = 'start'): string {
  return `<text x="${x}" y="${y}" class="${style}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

function rect(x: number, y: number, width: number, height: number, fill: string, title?: string): string {
  return `<rect x="${x}" y="${round(y)}" width="${width}" height="${height}" fill="${fill}">${tip(title)}</rect>`;
}

function line(x1: number, y1: number, x2: number, y2: number, style: string, title?: string): string {
  const marker = style === 'connection' ? ' marker-end="url(#tip)"' : '';
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${style}"${marker}>${tip(title)}</line>`;
}
