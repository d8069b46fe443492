/** Which host a client's connection to a service goes to: by real rules and real services, with hosts that are stated. */
import { type ManifestHost, parseManifest } from '../../../../src/contract/manifest';
import { type Destination, Destinations, MOST_REMEMBERED } from '../../../../src/runtime/seed/ingress/destinations';
import { directoryOf } from '../../../../src/runtime/seed/locate/directory';
import type { Machine } from '../../../../src/runtime/seed/machine/interpreter';
import { type HostState, imaginedHost } from '../../../../src/runtime/seed/machine/state';
import { Services } from '../../../../src/runtime/seed/services/services';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const manifest = parseManifest({
  version: 1,
  cluster: { name: 'shop' },
  hosts: [
    ...['a', 'b', 'c'].map((name) => ({ name, command: ['x'], allocationTimeout: name === 'b' ? 9_000 : 7_000 })),
    { name: 'vm', kind: 'instance', aliases: ['metal'], allocationTimeout: 1_000 },
  ],
  services: [
    { name: 'web', hosts: ['a', 'b'], instances: ['vm'], maxConnections: 2 },
    { name: 'stuck', hosts: ['a', 'b', 'c'], maxConnections: 1, sticky: true },
    { name: 'one', hosts: ['c'] },
  ],
});
const MEMBER = 7;

function setUp() {
  const hosts = new Map<string, { entry: ManifestHost; state: HostState }>();
  const settings = { lostAfter: 1, expectLimit: 1 };
  for (const entry of manifest.hosts) hosts.set(entry.name, { entry, state: imaginedHost({ ...settings, entry }, 0) });
  const directory = directoryOf(manifest);
  const said: unknown[] = [];
  let acknowledged = 0;
  const services = new Services({
    directory,
    stateOf: (host) => hosts.get(host)?.state,
    send: (member, frame) => {
      expect(member).toBe(MEMBER);
      if (frame.type === 'service') destinations.publish(frame);
    },
    events: { emit: (host, event, detail) => void said.push([host, event, detail]) },
  });
  const acknowledge = (...args: Parameters<Services['acknowledge']>) => {
    acknowledged += 1;
    services.acknowledge(...args);
  };
  const use = services.use.bind(services);
  const chosen = services.chosen.bind(services);
  const destinations: Destinations = new Destinations({
    directory,
    hosts: hosts as unknown as ReadonlyMap<string, Machine>,
    services: { use, acknowledge, chosen },
    member: MEMBER,
  });
  destinations.open(['web', 'web', 'stuck', 'one', 'a']);
  const run = (host: string) => {
    const one = hosts.get(host)!;
    const session = { peer: 1, ports: [], settled: true, woken: false, expected: undefined };
    one.state = { ...one.state, phase: { state: 'running', epoch: 5, session, fence: undefined } };
    services.changed(host);
  };
  const load = (host: string, connections: number) => {
    services.load(host, 5, { connections, cpu: 0 });
    jest.advanceTimersByTime(500);
  };
  const of = (name: string, address = '192.0.2.1') =>
    destinations.of(name, { address, name: `ingress ${address}`, port: 80 });
  const to = (name: string, address?: string): [Destination, string | undefined] => {
    const one = of(name, address)!;
    return [one, one.next()?.entry.name];
  };
  return { services, run, load, of, to, said, acknowledged: () => acknowledged };
}

/** Chooses and fails so often. @returns what each failure said */
const fails = (one: Destination, times: number, moved: boolean) =>
  Array.from({ length: times }, () => {
    one.next();
    return one.failed(moved);
  });

test('a host by any of its names; a name that is nobody’s', () => {
  const { of, services } = setUp();
  expect(of('vm')!.next()).toBe(of('metal')!.machine);
  expect(of('vm')!.allocationTimeout).toBe(1_000);
  expect(of('nobody')).toBeUndefined();
  services.close();
});

test('a host is located again when it has moved, four times in all, and not when it cannot be had', () => {
  const { of, services } = setUp();
  const host = of('a')!;
  expect([1, 2, 3, 4].map(() => host.failed(true))).toEqual([true, true, true, false]);
  expect(of('a')!.failed(false)).toBe(false);
  services.close();
});

test('instances first; connections under way count at once; one that is full has the next imagined', () => {
  const { run, to, said, services } = setUp();
  run('vm');
  const led = [1, 2, 3, 4, 5].map(() => to('web'));
  expect(led.map(([, host]) => host)).toEqual(['vm', 'vm', 'a', 'a', 'b']);
  led[0][0].joined();
  expect(to('web')[1]).toBe('b');
  // One that was joined, and one that was not.
  led[0][0].ended();
  led[1][0].ended();
  led[1][0].ended();
  expect([1, 2, 3].map(() => to('web')[1]).slice(0, 2)).toEqual(['vm', 'vm']);
  const from = 'ingress 192.0.2.1';
  const why = 'the instance with the fewest connections';
  expect(said[0]).toEqual(['vm', 'service-chosen', { from, service: 'web', port: 80, why }]);
  // Each choice and its reason once: vm, a, b, and vm again when all were full.
  expect(said).toHaveLength(4);
  services.close();
});

test('connections of members count, as far as they were reported; its own are not counted twice', () => {
  const { run, load, to, services, acknowledged } = setUp();
  for (const name of ['a', 'b']) run(name);
  load('a', 1);
  expect(acknowledged()).toBeGreaterThan(1);
  const [own, first] = to('web');
  expect(first).toBe('b');
  own.joined();
  load('b', 1);
  // Both have one, and room for one more.
  expect([to('web')[1], to('web')[1]].sort()).toEqual(['a', 'b']);
  services.close();
});

test('one that fails is not chosen by this connection again, nor by others for a while; all may be tried again if one moved', () => {
  const { run, to, of, services } = setUp();
  for (const name of ['a', 'b', 'vm']) run(name);
  const [one, first] = to('web');
  expect(first).toBe('vm');
  expect(one.failed(true)).toBe(true);
  const others = [one.next()!.entry.name];
  expect(one.failed(false)).toBe(true);
  others.push(one.next()!.entry.name);
  expect(others.sort()).toEqual(['a', 'b']);
  jest.advanceTimersByTime(1_000);
  const [other, avoids] = to('web');
  expect(avoids).not.toBe('vm');
  other.ended();
  // The second round.
  expect(one.failed(false)).toBe(true);
  expect(one.next()).toBeDefined();
  one.ended();
  jest.advanceTimersByTime(2_000);
  expect(to('web')[1]).toBe('vm');
  const alone = of('one')!;
  expect(fails(alone, 4, true)).toEqual([true, true, true, false]);
  const never = of('web')!;
  expect(fails(never, 3, false)).toEqual([true, true, false]);
  expect(never.next()).toBeUndefined();
  expect(never.allocationTimeout).toBe(9_000);
  services.close();
});

test('a sticky one leads a client to its host, also when that is full; clients that came longest ago are forgotten', () => {
  const { run, to, services } = setUp();
  for (const name of ['a', 'b', 'c']) run(name);
  const [, first] = to('stuck');
  const [, other] = to('stuck', '192.0.2.2');
  expect(other).not.toBe(first);
  for (let i = 0; i < 4; i++) expect(to('stuck')[1]).toBe(first);
  for (let i = 0; i < MOST_REMEMBERED; i++) to('stuck', `10.0.${i >> 8}.${i & 255}`)[0].ended();
  // It goes where there is room, and is remembered again.
  const [, third] = to('stuck', '192.0.2.2');
  expect([first, other]).not.toContain(third);
  to('stuck', '192.0.2.2');
  expect(to('stuck', '10.0.15.255')[1]).toBe(third);
  services.close();
});
