import type { PortRow } from '../../../../src/contract/abi/table';
import type { Location } from '../../../../src/contract/control/location';
import type { Candidate } from '../../../../src/runtime/services/choice';
import { Places, type UsedService } from '../../../../src/runtime/supervisor/services/places';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const nat: Location['nat'] = {
  ...{ kind: 'port-preserving', reflexiveAddress: '203.0.113.1', localAddress: '169.254.0.1' },
  ports: [10_240, 100],
};
const running = (host: string): Location => ({
  ...{ host, epoch: 5, state: 'running', nat },
  ports: [
    { port: 80, realPort: 40_080, scope: 'any' },
    { port: 81, realPort: 40_081, scope: 'loopback' },
  ],
});
const host = (name: string, change: Partial<Candidate> = {}): Candidate => ({
  ...{ name, instance: false, state: 'running', connections: 0, cpu: 0, draining: false, avoided: false },
  ...change,
});
const ADDRESSES: Record<string, number> = { a: 11, b: 12 };

function setUp(
  change: Partial<UsedService> = {},
  locations: Record<string, Location> = { a: running('a'), b: running('b') },
) {
  const service: UsedService = {
    ...{ name: 'web', address: 1, ports: new Set([80, 81]), candidates: [host('a'), host('b', { connections: 2 })] },
    terms: { members: ['a', 'b'], instances: 0, maxConnections: 3, sticky: false },
    ...change,
  };
  let rows: number[][] = [];
  let pending: number[] = [];
  let listed: readonly PortRow[] = [];
  let calls = 0;
  const given: Array<[string, string, number, number]> = [];
  const places = new Places({
    connector: {
      services: (now, counts) => {
        calls += 1;
        pending.forEach((count, i) => {
          counts[i] = count;
        });
        pending = [];
        rows = Array.from({ length: now.length / 5 }, (_, i) => [...now.subarray(5 * i, 5 * i + 5)]);
      },
    },
    services: () => [service],
    addressOf: (name) => ADDRESSES[name],
    running: (name) => locations[name],
    setServices: (_states, ports) => {
      listed = ports;
    },
    onGiven: (...one) => given.push(one),
  });
  const give = (...counts: number[]) => {
    pending = counts;
  };
  return {
    places,
    rows: () => rows,
    listed: () => listed.map(({ address, port }) => [address, port]),
    given,
    give,
    calls: () => calls,
  };
}

test('hosts with room, at ports that they listen on and that guests have connected to; the table lists these', () => {
  const { places, rows, listed } = setUp();
  places.update();
  expect(rows()).toEqual([
    [1, 11, 80, 0, 3],
    [1, 12, 80, 2, 3],
  ]);
  expect(listed()).toEqual([[1, 80]]);
  places.close();
});

test.each<[string, Partial<UsedService>, number[]]>([
  ['a full one', { candidates: [host('a', { connections: 3 }), host('b')] }, [12]],
  ['one that is avoided', { candidates: [host('a', { avoided: true }), host('b')] }, [12]],
  ['one that drains', { candidates: [host('a', { draining: true }), host('b')] }, [12]],
  ['one that is suspended', { candidates: [host('a', { state: 'suspended' }), host('b')] }, [12]],
  ['a function beside an instance', { candidates: [host('a'), host('b', { instance: true })] }, [12]],
  [
    'another one than where a sticky service has led',
    { last: 'b', terms: { members: ['a', 'b'], instances: 0, maxConnections: 1, sticky: true } },
    [12],
  ],
])('not there: %s', (_, change, hosts) => {
  const { places, rows } = setUp(change);
  places.update();
  expect(rows().map(([, to]) => to)).toEqual(hosts);
  places.close();
});

test('a host of which the location or the NAT is not known is not there, and nothing is listed for a service without any', () => {
  const { nat: _, ...unmet } = running('b');
  const { places, rows, listed } = setUp({}, { b: unmet });
  places.update();
  expect(rows()).toEqual([]);
  expect(listed()).toEqual([]);
  places.close();
});

test('what was given is counted, and told anew; looks follow while something is, and end then', () => {
  const { places, given, give, calls } = setUp();
  places.update();
  places.wake();
  give(0, 7);
  jest.advanceTimersByTime(60);
  expect(given).toEqual([['web', 'b', 80, 7]]);
  jest.advanceTimersByTime(10_000);
  const before = calls();
  jest.advanceTimersByTime(10_000);
  expect(calls()).toBe(before);
  places.close();
});
