/** Who may say which events, and what is kept of them. */
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkToSeed, REPORTED_EVENTS } from '../../../../src/contract/control/to-seed';
import { LogWriter } from '../../../../src/runtime/seed/log-writer';
import { EventLog } from '../../../../src/runtime/seed/operators/events';
import { bootCluster, type Cluster } from '../cluster';

const folder = join(__dirname, '../../../../src/runtime/seed');
const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(folder, name), 'utf8'));
/** Every event that the seed's own code makes. */
const own = [
  ...new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/(?:emit|emitSaid|list)\(\s*(?:[\w.]+,\s*)?'([a-z-]+)'/g)].map((m) => m[1]),
    ),
  ),
];

test('the seed’s own events are found in its code', () => {
  expect(own).toEqual(expect.arrayContaining(['allocating', 'throttled', 'seed-started', 'keys-changed', 'renewing']));
  expect(own).toEqual(
    expect.arrayContaining(['disconnected', 'rejoined', 'lifeline-lost', 'listening', 'connected', 'muted']),
  );
});

test.each(own)("'%s' is the seed's own: a member that reports it is refused", (event) => {
  const { problem } = checkToSeed({ type: 'report', event, detail: {} } as never) as { problem: string };
  expect(problem).toContain("a 'report' frame: event: ");
});

test.each(REPORTED_EVENTS)(
  "'%s' is a member's to report, and the seed's fields in it are the seed's",
  async (event) => {
    const cluster: Cluster = await bootCluster([{ name: 'api' }]);
    try {
      cluster.host('api', async (invocation) => {
        const host = await cluster.supervise(invocation);
        const forged = {
          epoch: 1,
          time: 1,
          host: 'web',
          event: 'failed',
          level: 'error',
          message: 'x',
        };
        host.session.report(event, { ...forged, said: 'this' });
        host.listen(80);
        await host.stopped;
        return { host: 'api', epoch: invocation.epoch, outcome: 'released' };
      });
      const { location } = await (await cluster.client()).locate('api', 80);
      const told = await cluster.event('api', event);
      expect(told.detail).toMatchObject({ epoch: location.epoch, said: 'this' });
      expect(told.time).toBeGreaterThan(1);
      const line = cluster.logs.find((text) => text.startsWith(`info ${event} `))!;
      expect(JSON.parse(line.slice(line.indexOf('{')))).toMatchObject({ host: 'api', epoch: location.epoch });
    } finally {
      await cluster.close();
    }
  },
);

test('what control characters a report has, no terminal is shown', () => {
  const checked = checkToSeed({
    type: 'report',
    event: 'transport-chosen',
    detail: { a: '\u001b[2Jx\u0007\u009by\n' },
  } as never);
  expect(checked).toMatchObject({ frame: { detail: { a: '�[2Jx��y\n' } } });
});

describe('the log of events', () => {
  const all = (log: EventLog) => {
    const found: string[] = [];
    for (let next = log.from(0); next; next = log.from(next.index + 1))
      found.push(`${next.event.host} ${next.event.event}`);
    return found;
  };

  test('forgets the oldest of who has the most, by number and by bytes', () => {
    for (const limits of [
      { most: 100, bytes: 1_000_000 },
      { most: 1_000_000, bytes: 10_000 },
    ]) {
      const log = new EventLog(limits, () => undefined);
      log.emit(null, 'seed-started');
      log.emit('api', 'allocating');
      for (let i = 0; i < 5_000; i++) log.emit('web', `number-${i}`);
      log.emit('api', 'connected', {}, 'client-0');
      const kept = all(log);
      expect(kept.slice(0, 2)).toEqual(['null seed-started', 'api allocating']);
      expect(kept.at(-1)).toBe('api connected');
      expect(kept.at(-2)).toBe('web number-4999');
      expect(kept.length).toBeLessThanOrEqual(limits.most === 100 ? 100 : 200);
      expect(log.from(0)?.index).toBe(0);
    }
  });

  test('takes from a host so many bytes at a time, and says how many events were lost', () => {
    const heard: string[] = [];
    const log = new EventLog({ most: 10_000, bytes: 1_000_000 }, ({ event }) => void heard.push(event));
    for (let i = 0; i < 10_000; i++) log.emitSaid('web', 'transport-chosen', { i });
    expect(heard.length).toBeLessThan(1_000);
    log.emitSaid('api', 'transport-chosen', {});
    expect(heard.at(-1)).toBe('transport-chosen');
    expect(all(log).at(-1)).toBe('api transport-chosen');
  });
});

describe('the log file', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'seed-log-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test('begins anew when it is long, and the one before is kept', async () => {
    const file = join(dir, 'seed.log');
    const log = new LogWriter(openSync(file, 'a'), { longest: 1_000 });
    for (let i = 0; i < 100; i++) {
      log.write(`{"line":${i},"text":"${'x'.repeat(80)}"}\n`);
      await log.flushed(5_000);
      expect(statSync(file).size).toBeLessThanOrEqual(1_000);
    }
    const lines = (path: string) =>
      readFileSync(path, 'utf8')
        .trimEnd()
        .split('\n')
        .map((text) => JSON.parse(text).line);
    const kept = [...lines(`${file}.1`), ...lines(file)];
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => 100 - kept.length + i));
    expect(kept.length).toBeGreaterThanOrEqual(10);
  });

  test('what cannot be written fast enough is lost, and said', async () => {
    const file = join(dir, 'seed.log');
    const log = new LogWriter(openSync(file, 'a'), { waiting: 1_000 });
    for (let i = 0; i < 100; i++) log.write(`{"line":${i},"text":"${'x'.repeat(80)}"}\n`);
    await log.flushed(5_000);
    log.write('{"line":100}\n');
    await log.flushed(5_000);
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/\d+ lines of this log are lost/);
    expect(text.endsWith('{"line":100}\n')).toBe(true);
    expect(existsSync(`${file}.1`)).toBe(false);
  });

  test('a full disk costs lines, and the next is tried', async () => {
    const log = new LogWriter(openSync('/dev/full', 'w'));
    for (let i = 0; i < 3; i++) {
      log.write('{}\n');
      await log.flushed(5_000);
    }
  });
});
