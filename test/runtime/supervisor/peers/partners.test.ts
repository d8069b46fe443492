/** When connections with epochs that have ended are looked for. What is done with them is in peer-connections.test.ts. */
import * as abi from '../../../../src/contract/abi/generated';
import type { Location } from '../../../../src/contract/control/location';
import { formatAddress } from '../../../../src/contract/manifest/address';
import { loadNative } from '../../../../src/native/addon/load';
import { trackGuests } from '../../../../src/runtime/supervisor/guest/processes';
import { Partners } from '../../../../src/runtime/supervisor/peers/partners';
import { PeerConnections } from '../../../../src/runtime/supervisor/peers/peer-connections';

const ADDRESS = 0x6440_0006;
const [OLD, NEW] = [10, 20];
const location = (epoch: number, oldest?: number): Location => ({
  ...{ host: 'api', epoch, oldest, state: 'running', ports: [] },
});

let connections: PeerConnections;
let partners: Partners;
beforeEach(() => {
  jest.useFakeTimers();
  const native = loadNative();
  connections = new PeerConnections({
    ...{ native, memory: new ArrayBuffer(abi.IM_SOCKETS_SIZE), handoff: true, log: () => undefined },
    guests: () => trackGuests({ mapped: '/nobody/maps/this' }),
  });
  const hostAt = (address: number) => (address === ADDRESS ? 'api' : undefined);
  partners = new Partners({ connections, native, isFlat: true, hostAt, session: () => undefined });
});
afterEach(() => {
  partners.close();
  connections.close();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});
const located = (...given: Parameters<typeof location>) => partners.located(location(...given), ADDRESS);
const meets = (epoch: number) =>
  partners.meets({ member: 1, name: 'api', address: formatAddress(ADDRESS), epoch, addresses: [] });

test('the first location of a host: earlier epochs have ended, and this member has heard of none of them', () => {
  located(NEW, NEW);
  expect(jest.getTimerCount()).toBe(0);
  located(NEW, NEW);
  expect(jest.getTimerCount()).toBe(0);
});

test('a host that has connected to this one is that epoch still', () => {
  meets(NEW);
  located(NEW, NEW);
  expect(jest.getTimerCount()).toBe(0);
});

test.each([
  ['was located', () => located(OLD)],
  ['has connected to this one', () => meets(OLD)],
  ['was located, and was asleep', () => partners.located({ ...location(OLD), state: 'suspended' }, ADDRESS)],
  ['has connected to this one again since', () => [OLD, NEW].forEach(meets)],
])('an epoch that %s has ended: its connections are looked for', (_how, before) => {
  before();
  expect(jest.getTimerCount()).toBe(0);
  located(NEW, NEW);
  expect(jest.getTimerCount()).toBe(1);
});

test('after a join the seed is to watch every host that there is a connection with, also of one that was being made', () => {
  const watched: string[] = [];
  const session = { watch: (host: string, epoch: number) => void watched.push(`${host} ${epoch}`) };
  const open = jest.spyOn(connections, 'alive').mockReturnValue([]);
  const hostAt = (address: number) => (address === ADDRESS ? 'api' : undefined);
  const native = loadNative();
  const joined = new Partners({ connections, native, isFlat: true, hostAt, session: () => session as never });
  joined.meets({ member: 1, name: 'api', address: formatAddress(ADDRESS), epoch: NEW, addresses: [] });
  expect(watched.splice(0)).toEqual([`api ${NEW}`]);
  joined.refresh();
  jest.advanceTimersByTime(100);
  expect(watched).toEqual([]);
  open.mockReturnValue([
    {
      ...{ cookie: 1, peer: ADDRESS, localPort: 80, epoch: NEW, ended: false, probing: false },
      ...{ sendQueue: 0, lastAck: 0, retransmitted: 0 },
    },
  ]);
  jest.advanceTimersByTime(20_000);
  expect(watched).toEqual([`api ${NEW}`]);
  joined.refresh();
  jest.advanceTimersByTime(100);
  expect(watched).toEqual([`api ${NEW}`, `api ${NEW}`]);
  joined.close();
});
