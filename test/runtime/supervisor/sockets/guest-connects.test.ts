/** What becomes of a guest's connect to a host that cannot be connected to. */
import type { Location } from '../../../../src/contract/control/location';
import { parseAddress } from '../../../../src/contract/manifest/address';
import { GuestConnects } from '../../../../src/runtime/supervisor/sockets/guest-connects';
import { openLocations } from '../../../../src/runtime/supervisor/sockets/locations';
import type { TransportResult } from '../../../../src/runtime/transport/transport';
import { eventually } from '../../../support/eventually';

const address = '100.64.0.6';
const spec = {
  self: { name: 'web', address: '100.64.0.5', nodeId: 0, epoch: 3 },
  ...{ cluster: 'test', cidr: '100.64.0.0/16', aliases: 62, handoff: true },
  directory: [{ name: 'api', aliases: [], address, nodeId: 1 }],
};
const absent = { by: 'none', reason: "'api' is imagined", absent: true } as const;
const given = { by: 'punched' } as const;

let connects: GuestConnects;
/** Epochs that the seed answers with, one a locate. */
let epochs: number[];
/** What the transports come to, one a connect. */
let results: TransportResult[];
beforeEach(() => {
  const locate = async () => {
    const ports = [{ port: 80, realPort: 40_080, scope: 'any' as const }];
    const location: Location = { host: 'api', epoch: epochs.shift()!, state: 'running', address: '', ports };
    return { location, realPort: 40_080 };
  };
  connects = new GuestConnects({
    locations: openLocations(spec, { map: (size) => new ArrayBuffer(size) }),
    locator: { locate } as never,
    expected: { used: () => undefined },
    services: { at: () => undefined } as never,
    listeners: { find: () => undefined } as never,
    connect: async () => results.shift()!,
    limitOf: () => 30_000,
    resolver: { open: async () => false },
    asClient: false,
    log: () => undefined,
  });
});
afterEach(() => connects.close());

/** How often it was tried before any time has passed, and the outcome if there is one by then. */
async function connect() {
  const before = results.length;
  let outcome: unknown;
  const request = { op: 'connect', address: parseAddress(address)!, port: 80, epoch: 0, pid: 0 };
  void connects.connect({ ...request, sourcePort: 0, cookie: 1n } as never, -1).then((found) => {
    outcome = found;
  });
  for (let i = 0; i < 50; i++) await Promise.resolve();
  return { tried: before - results.length, outcome };
}

test('an epoch that is not there is located anew at once: the locate is what allocates the next one', async () => {
  epochs = [7, 8];
  results = [absent, given];
  expect(await connect()).toEqual({ tried: 2, outcome: 'elsewhere' });
});

test('the same epoch is tried after a pause when it was not there twice', async () => {
  epochs = [7, 7, 7];
  results = [absent, absent, given];
  expect(await connect()).toEqual({ tried: 2, outcome: undefined });
  await eventually(() => results.length === 0);
});

test('a host that is there and cannot be reached is tried after a pause', async () => {
  epochs = [7, 7];
  results = [{ by: 'none', reason: 'it did not answer' }, given];
  expect(await connect()).toEqual({ tried: 1, outcome: undefined });
});
