import type { FromSeed } from '../../../../src/contract/control/from-seed';
import { parseManifest } from '../../../../src/contract/manifest';
import { directoryOf } from '../../../../src/runtime/seed/locate/directory';
import { type HostState, imaginedHost } from '../../../../src/runtime/seed/machine/state';
import { Services } from '../../../../src/runtime/seed/services/services';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const manifest = parseManifest({
  version: 1,
  cluster: { name: 'shop' },
  hosts: ['a', 'b'].map((name) => ({ name, command: ['x'] })),
  services: [{ name: 'web', hosts: ['a', 'b'], maxConnections: 10 }],
});

function setUp() {
  const states = new Map<string, HostState>();
  const sent: Array<[number, Extract<FromSeed, { type: 'service' }>]> = [];
  const events: Array<[string | null, string, unknown]> = [];
  const settings = { lostAfter: 1, expectLimit: 1 };
  for (const entry of manifest.hosts) states.set(entry.name, imaginedHost({ ...settings, entry }, 0));
  const services = new Services({
    directory: directoryOf(manifest),
    stateOf: (host) => states.get(host),
    send: (member, frame) => void (frame.type === 'service' && sent.push([member, frame])),
    events: { emit: (host, event, detail) => void events.push([host, event, detail]) },
  });
  const run = (host: string, epoch = 5) => {
    const session = { peer: 1, ports: [], settled: true, woken: false, expected: undefined };
    states.set(host, { ...states.get(host)!, phase: { state: 'running', epoch, session, fence: undefined } });
    services.changed(host);
  };
  return { services, sent, events, run };
}
const last = <T>(list: readonly T[]) => list[list.length - 1];

test('sent to those who have asked only: at once, and then when something has changed', () => {
  const { services, sent, run } = setUp();
  run('a');
  jest.advanceTimersByTime(1_000);
  expect(sent).toEqual([]);
  expect(services.use(7, 'web')).toBe(true);
  expect(services.use(7, 'a')).toBe(false);
  expect(sent.map(([member, { members }]) => [member, members.map(({ state }) => state)])).toEqual([
    [7, ['running', 'imagined']],
  ]);
  services.acknowledge(7, 'web', last(sent)[1].version);
  jest.advanceTimersByTime(1_000);
  expect(sent).toHaveLength(1);
  run('b');
  jest.advanceTimersByTime(1_000);
  expect(last(sent)[1].members.map(({ state }) => state)).toEqual(['running', 'running']);
  services.close();
});

test('a member that does not acknowledge is sent nothing further, and then what is so by then; one that is gone, nothing', () => {
  const { services, sent, run } = setUp();
  services.use(7, 'web');
  services.use(8, 'web');
  run('a');
  for (let connections = 1; connections <= 50; connections++) {
    services.load('a', 5, { connections, cpu: 0 });
    jest.advanceTimersByTime(100);
    const [, { version }] = last(sent.filter(([member]) => member === 8));
    services.acknowledge(8, 'web', version);
  }
  const to7 = () => sent.filter(([member]) => member === 7);
  expect(to7()).toHaveLength(1);
  expect(sent.length).toBeGreaterThan(40);
  services.acknowledge(7, 'web', to7()[0][1].version);
  jest.advanceTimersByTime(500);
  expect(to7()).toHaveLength(2);
  expect(last(to7())[1].members[0].connections).toBe(50);
  services.forget(7);
  services.load('a', 5, { connections: 1, cpu: 0 });
  jest.advanceTimersByTime(500);
  expect(to7()).toHaveLength(2);
  services.close();
});

test('a flood of reports costs a frame in 100 ms at most', () => {
  const { services, sent, run } = setUp();
  services.use(7, 'web');
  run('a');
  for (let i = 0; i < 10_000; i++) {
    services.load('a', 5, { connections: i, cpu: 0 });
    if (i % 100 === 0) jest.advanceTimersByTime(1);
    const [, { version }] = last(sent);
    services.acknowledge(7, 'web', version);
  }
  // 100 ms have passed.
  expect(sent.length).toBeLessThanOrEqual(4);
  services.close();
});

test('what an earlier epoch reported counts for nothing, nor what is reported of a host in no service', () => {
  const { services, sent, run } = setUp();
  services.load('a', 4, { connections: 9, cpu: 0 });
  services.load('other', 4, { connections: 9, cpu: 0 });
  run('a');
  services.use(7, 'web');
  expect(last(sent)[1].members[0]).toEqual({ state: 'running', connections: 0, cpu: 0, draining: false });
  services.close();
});

test('the load fits on one host for a while: the other drains, which is an event; and serves again when it must', () => {
  const { services, sent, events, run } = setUp();
  run('a');
  run('b');
  services.use(7, 'web');
  const load = (connections: number) => {
    services.load('a', 5, { connections, cpu: 0 });
    for (let i = 0; i < 40; i++) {
      jest.advanceTimersByTime(100);
      services.acknowledge(7, 'web', last(sent)[1].version);
    }
  };
  load(8);
  expect(events).toEqual([]);
  load(7);
  const detail = { service: 'web', connections: 7, maxConnections: 10 };
  expect(events).toEqual([['b', 'draining', { ...detail, why: 'the others have room for the load' }]]);
  expect(last(sent)[1].members.map(({ draining }) => draining)).toEqual([false, true]);
  load(10);
  expect(last(events)).toMatchObject(['b', 'serving', { why: 'the others are nearly full' }]);
  expect(last(sent)[1].members.map(({ draining }) => draining)).toEqual([false, false]);
  services.close();
});

test('choices are events of the host; lies are none, and a flood loses its own', () => {
  const { services, events } = setUp();
  const chosen = { service: 'web', member: 'a', port: 80, why: 'because' };
  services.chosen(7, 'client-0', chosen);
  expect(events).toEqual([['a', 'service-chosen', { from: 'client-0', service: 'web', port: 80, why: 'because' }]]);
  for (const lie of [{ member: 'c' }, { service: 'x' }]) {
    services.chosen(7, 'client-0', { ...chosen, ...lie });
  }
  expect(events).toHaveLength(1);
  for (let i = 0; i < 1_000; i++) services.chosen(7, 'client-0', chosen);
  expect(events.length).toBeLessThan(80);
  services.chosen(8, 'client-1', chosen);
  expect(last(events)).toMatchObject(['a', 'service-chosen', { from: 'client-1' }]);
  services.close();
});
