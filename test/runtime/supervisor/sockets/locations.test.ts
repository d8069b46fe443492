import { HEADER } from '../../../../src/contract/abi/table';
import type { Location } from '../../../../src/contract/control/location';
import { parseAddress } from '../../../../src/contract/manifest/address';
import { openLocations } from '../../../../src/runtime/supervisor/sockets/locations';
import { readTable } from '../../../contract/abi/table-reader';

function open(self = 'web') {
  const gone: string[] = [];
  let memory = new ArrayBuffer(0);
  const directory = [
    { name: 'web', aliases: [], address: '100.64.0.5', nodeId: 0 },
    { name: 'api', aliases: ['backend'], address: '100.64.0.6', nodeId: 1 },
    { name: 'redis', aliases: [], address: '100.64.0.7', nodeId: 2 },
  ];
  const entry = directory.find((e) => e.name === self)!;
  const locations = openLocations(
    { cluster: 'c', cidr: '100.64.0.0/16', self: entry, directory, aliases: 64 },
    {
      map: (size) => {
        memory = new ArrayBuffer(size);
        return memory;
      },
      onGone: (host) => gone.push(host),
    },
  );
  const table = readTable(memory);
  const state = (name: string) => table.hosts().find((host) => host.name === name);
  return { locations, table, state, gone };
}
const api = (change: Partial<Location> = {}): Location => ({
  host: 'api',
  epoch: 10,
  state: 'running',
  address: '127.64.0.6',
  ports: [
    { port: 80, realPort: 40_080, scope: 'any' },
    { port: 81, realPort: 81, scope: 'loopback' },
  ],
  ...change,
});

test('a location is in the table at once, without the ports that are the host’s own', () => {
  const { locations, table, state } = open();
  expect(locations.hostAt(parseAddress('100.64.0.6')!)).toBe('api');
  expect(locations.find('api', 80)).toBeUndefined();
  expect(locations.apply(api())).toBe(true);
  expect(state('api')).toMatchObject({ state: 1, real: '127.64.0.6', epoch: 10 });
  expect(table.ports()).toEqual([{ address: '100.64.0.6', port: 80, realPort: 40_080, real: '127.64.0.6', scope: 0 }]);
  expect(locations.find('api', 80)).toMatchObject({ realPort: 40_080 });
  expect(locations.find('api', 81)).toBeUndefined();
});

test('suspended or moved: the table follows; what is older changes nothing', () => {
  const { locations, table, state } = open();
  locations.apply(api());
  locations.apply(api({ state: 'suspended', address: undefined, ports: [] }));
  expect(state('api')).toMatchObject({ state: 0 });
  expect(table.ports()).toEqual([]);
  expect(locations.find('api', 80)).toBeUndefined();
  locations.apply(api({ epoch: 11 }));
  expect(locations.apply(api())).toBe(false);
  expect(state('api')).toMatchObject({ real: '127.64.0.6', epoch: 11 });
});

test.each(['127.64.9.9', '127.0.0.1', '10.0.0.1'])('%s is not where that host can be: guests ask', (address) => {
  const { locations, table, state } = open();
  locations.apply(api({ address }));
  expect(state('api')).toMatchObject({ state: 0 });
  expect(table.ports()).toEqual([]);
});

test('a doubted epoch is asked for until the seed says where the host is', () => {
  const { locations, state } = open();
  locations.apply(api());
  locations.distrust('api', 9);
  expect(state('api')).toMatchObject({ state: 1 });
  locations.distrust('api', 10);
  expect(state('api')).toMatchObject({ state: 0 });
  expect(locations.distrusted('api')).toBe(10);
  locations.apply(api());
  expect(locations.distrusted('api')).toBeUndefined();
  expect(state('api')).toMatchObject({ state: 1 });
});

test('forgetting keeps the own ports', () => {
  const { locations, table, state } = open();
  locations.setOwnPorts([{ port: 80, real: parseAddress('127.64.0.5')!, realPort: 41_000, scope: 'any' }]);
  locations.apply(api());
  expect(table.ports().map((p) => p.address)).toEqual(['100.64.0.5', '100.64.0.6']);
  locations.forget();
  expect(state('api')).toMatchObject({ state: 0 });
  expect(table.ports()).toEqual([{ address: '100.64.0.5', port: 80, realPort: 41_000, real: '127.64.0.5', scope: 0 }]);
  expect(table.u32(HEADER.seq) % 2).toBe(0);
});

test('a client under the name of a host has the address of a host that runs elsewhere: that location stays out of its table', () => {
  const { locations, state } = open('api');
  expect(locations.apply(api())).toBe(true);
  expect(state('api')).toMatchObject({ state: 0 });
});

test('what is kept for a host is dropped when it sleeps or has another epoch, also one that has come unseen', () => {
  const { locations, gone } = open();
  // What the host itself has made ready here before stays.
  locations.apply(api());
  locations.apply(api({ ports: [] }));
  expect(gone).toEqual([]);
  locations.apply(api({ state: 'suspended' }));
  locations.apply(api());
  expect(gone).toEqual(['api']);
  locations.apply(api({ epoch: 11 }));
  expect(gone).toEqual(['api', 'api']);
  locations.forget();
  locations.apply(api({ epoch: 11 }));
  expect(gone).toEqual(['api', 'api', 'api']);
});
