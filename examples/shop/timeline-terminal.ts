import { LABELS, type SpanState, type Timeline, tickStep } from './timeline';

const GLYPHS: Record<SpanState, string> = {
  imagined: '·',
  sandbox: '░',
  guest: '▒',
  running: '█',
  suspended: '─',
  failed: '×',
};
const COLOURS: Record<SpanState, string> = {
  imagined: '2',
  sandbox: '33',
  guest: '33',
  running: '32',
  suspended: '34',
  failed: '31',
};
/** When several states share one cell, the one that is hardest to see wins. */
const WEIGHT: Record<SpanState, number> = { failed: 5, guest: 4, sandbox: 3, running: 2, suspended: 1, imagined: 0 };

/** The timeline in unicode bars, `columns` wide; with colour when asked. */
export function drawTerminal(timeline: Timeline, columns: number, colour: boolean): string {
  const { start, end, lanes, marks } = timeline;
  const labels = Math.max(...lanes.map((lane) => lane.host.length), 'client'.length) + 1;
  const cells = Math.max(20, columns - labels - 1);
  const cellOf = (time: number) =>
    Math.min(cells - 1, Math.max(0, Math.floor(((time - start) / (end - start)) * cells)));
  const paint = (code: string, text: string) => (colour && text ? `\x1b[${code}m${text}\x1b[0m` : text);
  const line = (label: string, body: string) => `${label.padEnd(labels)} ${body}`.trimEnd();

  const bar = (lane: (typeof lanes)[number]) => {
    const states = new Array<SpanState>(cells).fill('imagined');
    for (const { state, from, to } of lane.spans) {
      for (let cell = cellOf(from); cell <= cellOf(Math.max(from, to - 1e-6)); cell++) {
        if (WEIGHT[state] > WEIGHT[states[cell]]) states[cell] = state;
      }
    }
    let text = '';
    for (let at = 0; at < cells; ) {
      let next = at;
      while (next < cells && states[next] === states[at]) next++;
      text += paint(COLOURS[states[at]], GLYPHS[states[at]].repeat(next - at));
      at = next;
    }
    return text;
  };

  const client = new Array<string>(cells).fill(' ');
  for (const mark of marks) {
    const text = `▼${mark.label}`;
    for (let i = 0; i < text.length && cellOf(mark.from) + i < cells; i++) client[cellOf(mark.from) + i] = text[i];
  }
  const axis = new Array<string>(cells).fill(' ');
  const step = tickStep(end - start, cells / 10);
  for (let time = 0; time <= end - start; time += step) {
    const text = `╵${step < 100 ? `${time}ms` : `${time / 1_000}s`}`;
    for (let i = 0; i < text.length && cellOf(start + time) + i < cells; i++) axis[cellOf(start + time) + i] = text[i];
  }
  const states: SpanState[] = ['imagined', 'sandbox', 'guest', 'running', 'suspended'];
  const legend = states
    .map((state) => `${paint(COLOURS[state], GLYPHS[state].repeat(2))} ${LABELS[state]}`)
    .join('   ');
  return [
    line('client', client.join('')),
    ...lanes.map((lane) => line(lane.host, bar(lane))),
    line('', axis.join('')),
    line('', legend),
  ].join('\n');
}
