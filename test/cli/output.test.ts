import { edgesText } from '../../src/cli/commands/edges';
import { eventText } from '../../src/cli/commands/events';
import { statusText } from '../../src/cli/commands/ps';
import { CliError, reportOf, usageError } from '../../src/cli/output/errors';
import { logText, parseLogLine } from '../../src/cli/output/log-line';
import { duration, type Paint, painter, table } from '../../src/cli/output/terminal';
import type { ClusterStatus } from '../../src/contract/control/from-seed';

const plain: Paint = (_, text) => text;

test.each([
  [-5, '0ms'],
  [850.4, '850ms'],
  [3_240, '3.2s'],
  [59_900, '59s'],
  [200_000, '3m'],
  [7_300_000, '2h'],
  [200_000_000, '2d'],
])('a duration of %d ms is %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

describe('colour', () => {
  const { NO_COLOR, TERM } = process.env;
  beforeEach(() => {
    delete process.env.NO_COLOR;
    process.env.TERM = 'xterm';
  });
  afterAll(() => Object.assign(process.env, { NO_COLOR, TERM }));
  test('on a terminal only', () => {
    expect(painter({ isTTY: true })('red', 'x')).toBe('\x1b[31mx\x1b[39m');
    expect(painter({})('red', 'x')).toBe('x');
  });
  test('not with NO_COLOR, not on a dumb terminal', () => {
    process.env.NO_COLOR = '1';
    expect(painter({ isTTY: true })('red', 'x')).toBe('x');
    delete process.env.NO_COLOR;
    process.env.TERM = 'dumb';
    expect(painter({ isTTY: true })('red', 'x')).toBe('x');
  });
  test('does not count for the width of columns', () => {
    expect(
      table([
        ['\x1b[31mab\x1b[39m', 'c'],
        ['abcd', 'd'],
      ]),
    ).toBe('\x1b[31mab\x1b[39m    c\nabcd  d');
  });
});

const HOSTS: ClusterStatus['hosts'] = [
  {
    ...{ address: '100.64.1.2', epoch: null, since: 1_000, waiting: 0, name: 'web', state: 'running' },
    ...{ allocations: 2, allocateMs: 212.4, ports: [80, 443] },
    heldBy: { by: 'traffic', what: 'a connection from api to port 80, of process 7 (nginx)', since: 2_000 },
    lastHeldBy: { by: 'starting', since: 500, until: 1_000 },
  },
  {
    ...{ address: '100.64.1.2', epoch: null, since: 1_000, waiting: 3, name: 'api', state: 'failed' },
    ...{ allocations: 1, allocateMs: null, ports: [], reason: 'no file' },
  },
  {
    ...{ address: '100.64.1.3', epoch: null, since: 0, waiting: 0, name: 'job', state: 'imagined' },
    ...{ allocations: 0, allocateMs: null, ports: [] },
  },
];
const ASLEEP: ClusterStatus['hosts'] = [
  {
    ...{ address: '100.64.1.4', epoch: 7, since: 4_000, waiting: 0, name: 'db', state: 'suspended' },
    ...{ allocations: 1, allocateMs: 212.4, ports: [] },
    lastHeldBy: { by: 'cpu', what: '9 (postgres)', since: 1_000, until: 4_000 },
  },
];
const statusAt = (now: number, why: boolean, hosts = HOSTS) =>
  statusText(
    { cluster: 'shop', cidr: '100.64.0.0/16', startedAt: 0, hosts },
    now,
    plain,
    Number.POSITIVE_INFINITY,
    why,
  ).split('\n');

const TABLE = [
  'HOST  ADDRESS     STATE               SINCE  ALLOCATIONS  ALLOCATE-MS  HELD BY  PORTS',
  'web   100.64.1.2  running              5.0s            2          212  traffic  80, 443',
  'api   100.64.1.2  failed (3 waiting)   5.0s            1            -  -        -',
  'job   100.64.1.3  imagined             6.0s            0            -  -        -',
  '',
  'api: no file',
];

test('ps: one line per host, and below them why hosts failed', () => {
  expect(statusAt(6_000, false)).toEqual(TABLE);
});

test('ps --why: what keeps hosts up', () => {
  const why = 'web is held by traffic on a connection from api to port 80, of process 7 (nginx)';
  expect(statusAt(6_000, true)).toEqual([...TABLE, '', why]);
});

test('ps --why: what kept those up that do not run any more', () => {
  const last = 'db was held last by the CPU use of process 9 (postgres), for 3.0s until 2.0s ago';
  expect(statusAt(6_000, true, ASLEEP).at(-1)).toBe(last);
  expect(statusAt(6_000, false, ASLEEP)).not.toContain(last);
});

test('ps: a cluster that is up for a while has hosts that nobody ever connects to', () => {
  const hint = statusAt(60_000, false).at(-1);
  expect(hint).toContain('never started, as nobody connects to them: job.');
  expect(hint).toContain('startWith or wakeSchedule');
});

test('edges: which hosts are started with which, and what was for nothing', () => {
  const edge = {
    from: 'web',
    to: 'api',
    kind: 'learnt',
    hits: 12,
    misses: 1,
    wastedMs: 3_240,
    wastedStarts: 1,
  } as const;
  expect(edgesText([edge, { ...edge, to: 'db', kind: 'forgotten' }], plain).split('\n')).toEqual([
    'FROM  TO   KIND       HITS  MISSES  WASTED  WASTED STARTS',
    'web   api  learnt       12       1    3.2s              1',
    'web   db   forgotten    12       1    3.2s              1',
  ]);
  expect(edgesText([], plain)).toBe('No edge is declared or learnt yet: no host has connected to another one.');
});

test('events: time, host, event, facts', () => {
  const time = new Date(2024, 0, 1, 12, 3, 4, 56).getTime();
  const detail = { by: 'client', port: 80, waitedMs: 1.23456, reason: 'not there', nothing: null };
  expect(eventText({ time, host: 'web', event: 'refused', detail }, plain)).toBe(
    '12:03:04.056 web          refused        by=client port=80 waitedMs=1.2 reason="not there"',
  );
  expect(eventText({ time, host: null, event: 'seed-started', detail: {} }, plain)).toBe(
    '12:03:04.056 -            seed-started',
  );
});

describe('logs', () => {
  const time = new Date(2024, 0, 1, 12, 3, 4, 56).toISOString();
  const text = (line: object | string) =>
    logText(parseLogLine(typeof line === 'string' ? line : JSON.stringify(line), 'web'), plain);
  test("a guest's line is as it wrote it", () => {
    expect(text({ time, host: 'web', stream: 'stderr', line: 'a "b"' })).toBe('12:03:04.056 a "b"');
  });
  test('what supervisor and seed say is marked', () => {
    expect(text({ time, level: 'warn', host: 'web', message: 'gone', pid: 7, why: 'no file', x: null })).toBe(
      '12:03:04.056 | gone pid=7 why="no file"',
    );
  });
  test('anything else is shown as it is', () => {
    expect(text('START RequestId: 1')).toBe('| START RequestId: 1');
    expect(text('{ not json')).toBe('| { not json');
    expect(text({ other: 1 })).toBe('| {"other":1}');
    expect(parseLogLine('START', 'web')).toEqual({ host: 'web', line: 'START' });
  });
});

describe('reports of errors', () => {
  test('of ours: as they are', () => {
    expect(reportOf(usageError('no', 'do so'))).toEqual({ code: 'usage', message: 'no', next: 'do so', exitCode: 2 });
    expect(reportOf(new CliError('x', 'y'))).toEqual({ code: 'x', message: 'y', exitCode: 1 });
  });
  test('of the system: a full disk has a next step', () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write '/s'"), { code: 'ENOSPC' });
    expect(reportOf(error)).toMatchObject({ code: 'ENOSPC', next: expect.stringContaining('--state'), exitCode: 1 });
  });
  test('of a bug: with its stack', () => {
    expect(reportOf(new TypeError('x is not a function')).message).toContain('output.test.ts');
  });
});
