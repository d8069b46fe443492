import { allocationSteps } from '../../examples/shop/steps';
import { type ClusterEvent, tickStep, timelineOf } from '../../examples/shop/timeline';
import { drawSvg } from '../../examples/shop/timeline-svg';
import { drawTerminal } from '../../examples/shop/timeline-terminal';

const at = (time: number, host: string, event: string, detail: ClusterEvent['detail'] = {}): ClusterEvent => ({
  time,
  host,
  event,
  detail,
});
const EVENTS = [
  at(100, 'web', 'allocating', { by: 'client-1' }),
  at(150, 'web', 'invoked'),
  at(200, 'web', 'joined'),
  at(280, 'web', 'listening'),
  at(300, 'web', 'running'),
  at(310, 'web', 'connected', { from: 'client-1', port: 80 }),
  at(320, 'api', 'allocating', { by: 'web' }),
  at(360, 'api', 'joined'),
  at(390, 'api', 'listening'),
  at(400, 'api', 'running'),
  at(401, 'api', 'connected', { from: 'web', port: 8080 }),
  at(800, 'web', 'suspended'),
  at(900, 'web', 'released'),
];
const timeline = timelineOf(['web', 'api'], EVENTS, [{ from: 90, to: 420, label: 'curl 1' }], 0, 1_000);

test('states over time', () => {
  expect(timeline.lanes[0].spans).toEqual([
    { state: 'imagined', from: 0, to: 100 },
    { state: 'sandbox', from: 100, to: 200 },
    { state: 'guest', from: 200, to: 300 },
    { state: 'running', from: 300, to: 800 },
    { state: 'suspended', from: 800, to: 900 },
    { state: 'imagined', from: 900, to: 1_000 },
  ]);
  expect(timeline.lanes[1].connections).toEqual([{ time: 401, from: 'web' }]);
});

test('a supervisor that joins again is no new allocation', () => {
  const again = timelineOf(['web'], [...EVENTS.slice(0, 5), at(500, 'web', 'joined')], [], 0, 600);
  expect(again.lanes[0].spans.at(-1)).toEqual({ state: 'running', from: 300, to: 600 });
});

test('steps of an allocation, in the order in which they began', () => {
  expect(allocationSteps(['api', 'web'], EVENTS)).toEqual([
    { host: 'web', because: 'a connect of client-1', listens: true, at: 0, sandbox: 100, guest: 80, total: 200 },
    { host: 'api', because: 'a connect of web', listens: true, at: 220, sandbox: 40, guest: 30, total: 80 },
  ]);
  expect(allocationSteps(['web', 'redis'], EVENTS)).toBeUndefined();
});

test('a guest that never listens is at work from its start on', () => {
  const dialling = [
    at(100, 'worker', 'allocating', { by: 'worker', why: "starts with 'redis'" }),
    at(180, 'worker', 'joined'),
    at(200, 'worker', 'guest-started'),
    at(900, 'worker', 'running'),
  ];
  expect(allocationSteps(['worker'], dialling)).toEqual([
    { host: 'worker', because: "starts with 'redis'", listens: false, at: 0, sandbox: 80, guest: 20, total: 100 },
  ]);
  expect(timelineOf(['worker'], dialling, [], 0, 1_000).lanes[0].spans).toEqual([
    { state: 'imagined', from: 0, to: 100 },
    { state: 'sandbox', from: 100, to: 180 },
    { state: 'guest', from: 180, to: 200 },
    { state: 'running', from: 200, to: 1_000 },
  ]);
});

test('in the terminal: short states stay visible', () => {
  const lines = drawTerminal(timeline, 40, false).split('\n');
  expect(lines[0]).toMatch(/^client +▼curl 1$/);
  expect(lines[1]).toMatch(/^web +·+░+▒+█+─+·+$/);
  expect(lines.slice(0, -1).every((line) => [...line].length <= 40)).toBe(true);
  expect(drawTerminal(timeline, 40, true)).toContain('\x1b[32m█');
});

test('as SVG: whole, self-contained, names escaped', () => {
  const svg = drawSvg('a < b', [
    { title: 'one', timeline },
    { title: 'two', timeline },
  ]);
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  expect(svg).not.toMatch(/<script|href=|url\(http/);
  expect(svg).toContain('a &#60; b');
  expect(svg.match(/class="connection"/g)).toHaveLength(4);
  expect(svg).not.toMatch(/NaN|undefined/);
});

test('ticks are round', () => {
  expect([tickStep(900, 10), tickStep(20_000, 10), tickStep(10_000_000, 10)]).toEqual([100, 2_000, 60_000]);
});
