import fc from 'fast-check';
import { drainingChange, type ServingHost } from '../../../../src/runtime/seed/services/draining';

const host: ServingHost = { running: true, instance: false, connections: 0, cpu: 0, draining: false };
const hosts = fc.array(
  fc.record({
    running: fc.boolean(),
    instance: fc.boolean(),
    connections: fc.nat(12),
    cpu: fc.nat(100),
    draining: fc.boolean(),
  }),
  { maxLength: 6 },
);
const apply = (all: readonly ServingHost[], change: ReturnType<typeof drainingChange>) =>
  all.map((one, i) => {
    if (change && 'drain' in change && change.drain === i) return { ...one, draining: true };
    return change && 'serve' in change && change.serve === i ? { ...one, draining: false } : one;
  });

test('the last function of those that serve, when the load fits on the others with room to spare', () => {
  const loaded = (connections: number) => [{ ...host, connections }, host];
  expect(drainingChange(loaded(7), { maxConnections: 10 })).toEqual({ drain: 1 });
  expect(drainingChange(loaded(8), { maxConnections: 10 })).toBeUndefined();
});

test('an instance is never drained, nor the only host that serves', () => {
  expect(drainingChange([host, { ...host, instance: true }], { maxConnections: 10 })).toBeUndefined();
  expect(drainingChange([host], { maxConnections: 10 })).toBeUndefined();
  expect(drainingChange([host, { ...host, running: false }], { maxConnections: 10 })).toBeUndefined();
});

test('it serves again when the others are nearly full, by connections or by CPU; between the marks nothing changes', () => {
  const drained = (load: Partial<ServingHost>) => [
    { ...host, ...load },
    { ...host, draining: true },
  ];
  expect(drainingChange(drained({ connections: 10 }), { maxConnections: 10 })).toEqual({ serve: 1 });
  expect(drainingChange(drained({ cpu: 80 }), { maxConnections: 10, maxCpu: 80 })).toEqual({ serve: 1 });
  expect(drainingChange(drained({ connections: 8 }), { maxConnections: 10 })).toBeUndefined();
});

test('whatever the load: changes come to an end, at least one host serves, and none is changed that does not run', () => {
  fc.assert(
    fc.property(hosts, fc.integer({ min: 1, max: 10 }), (all, maxConnections) => {
      let now: ServingHost[] = all.map((one) => ({ ...one, draining: one.draining && one.running && !one.instance }));
      const servedBefore = now.some((one) => one.running && !one.draining);
      for (let changes = 0; ; changes++) {
        const change = drainingChange(now, { maxConnections });
        if (!change) break;
        if (changes > all.length) return false;
        if (!now['drain' in change ? change.drain : change.serve].running) return false;
        now = apply(now, change);
      }
      return !servedBefore || now.some((one) => one.running && !one.draining);
    }),
    { numRuns: 3_000 },
  );
});
