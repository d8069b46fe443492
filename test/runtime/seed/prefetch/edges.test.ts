/** What is learnt of hosts that connect to one another, whatever they do. */
import fc from 'fast-check';
import {
  type EdgeHost,
  Edges,
  MOST_LEARNT,
  MOST_NEEDED,
  MOST_TRUST,
} from '../../../../src/runtime/seed/prefetch/edges';

const host = (name: string, more: Partial<EdgeHost> = {}): EdgeHost => ({
  ...{ name, kind: 'function', connectsTo: [], prefetch: true },
  ...more,
});
const IDLE = { ran: true, idle: true };
const edgesOf = (...more: Array<Partial<EdgeHost>>) =>
  new Edges([host('web', more[0]), host('api', more[1]), host('db', more[2])], true);

/** One life of `web`: it is allocated, its guesses are started, it connects to these hosts, and all go idle. */
function live(edges: Edges, connects: readonly string[], others: readonly string[] = []): readonly string[] {
  const targets = edges.started('web');
  for (const to of targets) edges.guessed('web', to, 0);
  for (const to of connects) edges.connected('web', to, 5, true);
  for (const to of others) edges.connected(undefined, to, 6, false);
  for (const to of targets) edges.ended(to, 100, IDLE);
  edges.ended('web', 100, IDLE);
  return targets;
}
const row = (edges: Edges, to = 'api') => edges.report(1_000).find((edge) => edge.from === 'web' && edge.to === to);

test('an edge is learnt by one connect, and by none later than a moment after the allocation', () => {
  const edges = edgesOf();
  expect(live(edges, ['api'])).toEqual([]);
  edges.started('web');
  expect(edges.connected('web', 'db', 5, false)).toEqual([]);
  edges.ended('web', 9, IDLE);
  expect(edges.started('web')).toEqual(['api']);
  expect(row(edges)).toMatchObject({ kind: 'learnt', hits: 0, misses: 0 });
});

test('a connect of a host that was resumed or adopted teaches nothing', () => {
  const edges = edgesOf();
  expect(edges.connected('web', 'api', 5, true)).toEqual([]);
  expect(edges.started('web')).toEqual([]);
});

test('a hit, and what it takes from the start to the connect', () => {
  const edges = edgesOf();
  live(edges, ['api']);
  edges.started('web');
  edges.guessed('web', 'api', 10);
  expect(edges.connected('web', 'api', 35, true)).toEqual([{ type: 'hit', from: 'web', to: 'api', afterMs: 25 }]);
  // The second one says nothing new.
  expect(edges.connected('web', 'api', 40, true)).toEqual([]);
  expect(edges.ended('api', 50, IDLE)).toEqual([]);
  expect(row(edges)).toEqual({
    ...{ from: 'web', to: 'api', kind: 'learnt', hits: 1, misses: 0, wastedMs: 0, wastedStarts: 0 },
  });
});

test('a wrong guess is counted, its cost as well, and its edge forgotten', () => {
  const edges = edgesOf();
  live(edges, ['api']);
  edges.started('web');
  edges.guessed('web', 'api', 10);
  expect(edges.report(60)[0]).toMatchObject({ wastedMs: 50, wastedStarts: 0 });
  expect(edges.ended('api', 110, IDLE)).toEqual([
    { type: 'missed', from: 'web', to: 'api' },
    { type: 'forgotten', from: 'web', to: 'api' },
  ]);
  expect(row(edges)).toMatchObject({ kind: 'forgotten', misses: 1, wastedMs: 100, wastedStarts: 1 });
  edges.ended('web', 120, IDLE);
  expect(edges.started('web')).toEqual([]);
});

test('a host that another member uses is a wrong guess, but costs nothing', () => {
  const edges = edgesOf();
  live(edges, ['api']);
  live(edges, [], ['api']);
  expect(row(edges)).toMatchObject({ kind: 'forgotten', misses: 1, wastedMs: 0, wastedStarts: 0 });
});

test('whoever goes first decides, and only once', () => {
  const edges = edgesOf({ connectsTo: ['api'] });
  edges.started('web');
  edges.guessed('web', 'api', 0);
  expect(edges.ended('web', 50, { ran: true, idle: false })).toEqual([{ type: 'missed', from: 'web', to: 'api' }]);
  expect(edges.ended('api', 70, IDLE)).toEqual([]);
  expect(row(edges)).toMatchObject({ kind: 'declared', misses: 1, wastedMs: 70, wastedStarts: 1 });
});

test.each([
  ['the host', 'web', { ran: false, idle: false }],
  ['the host that was guessed', 'api', { ran: false, idle: false }],
])('%s fails before it runs: the edge is not to blame', (_, name, how) => {
  const edges = edgesOf();
  live(edges, ['api']);
  edges.started('web');
  edges.guessed('web', 'api', 0);
  expect(edges.ended(name, 50, how)).toEqual([]);
  expect(edges.ended(name === 'web' ? 'api' : 'web', 60, IDLE)).toEqual([]);
  expect(row(edges)).toMatchObject({ kind: 'learnt', hits: 0, misses: 0 });
});

test('a declared edge stays, however wrong it is, and leads to host functions only', () => {
  const edges = edgesOf({ connectsTo: ['api', 'db'], prefetch: false }, {}, { kind: 'instance' });
  for (let i = 0; i < 20; i++) expect(live(edges, [])).toEqual(['api']);
  expect(row(edges)).toMatchObject({ kind: 'declared', hits: 0, misses: 20, wastedStarts: 20 });
});

test.each([
  ['the host', new Edges([host('web', { prefetch: false }), host('api')], true)],
  ['the cluster', new Edges([host('web'), host('api')], false)],
])('prefetch: false of %s: nothing is learnt', (_, edges) => {
  for (let i = 0; i < 3; i++) expect(live(edges, ['api'])).toEqual([]);
  expect(edges.report(0)).toEqual([]);
});

test('declared edges come first, then those that were right most often', () => {
  const edges = new Edges([host('web', { connectsTo: ['d'] }), ...['a', 'b', 'd'].map((name) => host(name))], true);
  live(edges, ['a', 'b']);
  live(edges, ['b']);
  live(edges, ['a', 'b']);
  expect(edges.started('web')).toEqual(['d', 'b']);
});

test('a host keeps so many learnt edges, and those that were right before others', () => {
  const many = Array.from({ length: 3 * MOST_LEARNT }, (_, i) => `h${i}`);
  const edges = new Edges([host('web', { connectsTo: ['d'] }), host('d'), ...many.map((name) => host(name))], true);
  live(edges, ['h0']);
  live(edges, ['h0']);
  live(edges, ['h0', ...many]);
  expect(edges.report(0)).toHaveLength(1 + MOST_LEARNT);
  expect(edges.started('web').slice(0, 2)).toEqual(['d', 'h0']);
});

const lives = fc.array(fc.subarray(['api', 'db']), { maxLength: 200 });

test('whatever a host does: wrong guesses are few, and all is counted once', () => {
  fc.assert(
    fc.property(lives, (histories) => {
      const edges = edgesOf();
      let guesses = 0;
      for (const connects of histories) guesses += live(edges, connects).length;
      const all = edges.report(0).filter(({ from }) => from === 'web');
      expect(all.reduce((sum, { hits, misses }) => sum + hits + misses, 0)).toBe(guesses);
      for (const { hits, misses, wastedStarts } of all) {
        expect(wastedStarts).toBe(misses);
        // Each hit pays for one more, and each time that it is forgotten it takes twice as long to be learnt again.
        expect(misses).toBeLessThanOrEqual(2 * hits + 1 + Math.log2(MOST_NEEDED) + histories.length / MOST_NEEDED);
      }
    }),
    { numRuns: 300 },
  );
});

test('a host that is not connected to any more is guessed so often at most', () => {
  fc.assert(
    fc.property(lives, (histories) => {
      const edges = edgesOf();
      for (const connects of histories) live(edges, connects);
      let guesses = 0;
      for (let i = 0; i < 20; i++) guesses += live(edges, []).filter((to) => to === 'api').length;
      expect(guesses).toBeLessThanOrEqual(MOST_TRUST);
    }),
    { numRuns: 300 },
  );
});

test('a host that is always connected to is guessed right from some time on', () => {
  fc.assert(
    fc.property(lives, (histories) => {
      const edges = edgesOf();
      for (const connects of histories) live(edges, connects);
      for (let i = 0; i < MOST_NEEDED; i++) live(edges, ['api']);
      for (let i = 0; i < 5; i++) expect(live(edges, ['api'])).toContain('api');
    }),
    { numRuns: 300 },
  );
});

test('events in any order: hosts end, fail, connect and are guessed, and no count goes wrong', () => {
  const name = fc.constantFrom('web', 'api', 'db');
  const time = fc.nat(10);
  const event = fc.oneof(
    fc.tuple(fc.constant('started' as const), name),
    fc.tuple(fc.constant('connected' as const), fc.option(name, { nil: undefined }), name, fc.boolean()),
    fc.tuple(fc.constant('ended' as const), name, fc.boolean(), fc.boolean()),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(time, event), { maxLength: 300 }), (events) => {
      const edges = edgesOf({}, {}, { connectsTo: ['web'] });
      const up = new Set<string>();
      let guesses = 0;
      let at = 0;
      for (const [passes, happens] of events) {
        at += passes;
        if (happens[0] === 'started' && !up.has(happens[1])) {
          up.add(happens[1]);
          for (const to of edges.started(happens[1])) {
            if (up.has(to)) continue;
            up.add(to);
            guesses += 1;
            edges.guessed(happens[1], to, at);
          }
        } else if (happens[0] === 'connected') {
          const [, from, to, recent] = happens;
          if (from === undefined || up.has(from)) edges.connected(from, to, at, recent);
        } else if (happens[0] === 'ended' && up.delete(happens[1])) {
          edges.ended(happens[1], at, { ran: happens[2], idle: happens[3] });
        }
      }
      const all = edges.report(at);
      expect(all.reduce((sum, { hits, misses }) => sum + hits + misses, 0)).toBeLessThanOrEqual(guesses);
      for (const { from, to, wastedMs, wastedStarts } of all) {
        expect(from).not.toBe(to);
        expect(wastedMs).toBeGreaterThanOrEqual(0);
        expect(wastedMs).toBeLessThanOrEqual(at);
        expect(wastedStarts).toBeLessThanOrEqual(guesses);
      }
    }),
    { numRuns: 500 },
  );
});

test('a guess is to be told while it is open: at either end, once', () => {
  const edges = edgesOf({ connectsTo: ['api', 'db'] }, { connectsTo: ['web'] });
  expect(edges.untold('web')).toEqual([]);
  edges.started('web');
  edges.guessed('web', 'api', 0);
  edges.guessed('web', 'db', 0);
  const [api, db] = ['api', 'db'].map((to) => ({ from: 'web', to }));
  expect(edges.untold('web')).toEqual([api, db]);
  // The edge back is no guess: 'web' was up already.
  expect(edges.untold('api')).toEqual([api]);
  edges.told('api');
  expect([edges.untold('api'), edges.untold('web')]).toEqual([[], [db]]);
  // It was located first.
  edges.connected('web', 'db', 1, true);
  expect(edges.untold('web')).toEqual([]);
  edges.ended('api', 2, IDLE);
  edges.guessed('web', 'api', 3);
  expect(edges.untold('web')).toEqual([api]);
  // What is known of the start is of no use to its next epoch.
  edges.ended('web', 4, IDLE);
  expect(edges.untold('api')).toEqual([]);
});
