/**
 * Where a member can be met is the seed's word, not the member's: it could name anybody, or the loopback interface of
 * who asks.
 */
import type { NatReport, PeerMessage } from '../../../../src/contract/peer/peer-messages';
import { bootCluster, type Cluster, failure } from '../cluster';

let cluster: Cluster;
afterEach(() => cluster.close());

const hosts = [
  { name: 'liar', kind: 'instance', address: '100.64.7.9' },
  { name: 'victim', kind: 'instance' },
] as const;
const ports = [{ port: 7_000, realPort: 9_001, scope: 'any' }] as const;
const natReport = (local: string): NatReport => ({
  kind: 'port-preserving',
  reflexiveAddress: '203.0.113.9',
  localAddress: local,
  ports: [1, 60_000],
});
const join = (name: string, more: object = {}) => ({ host: name, ports, ...more }) as never;
const locationOf = async (name: string) => (await (await cluster.client()).locate(name, 7_000)).location;

test.each([{ address: '127.0.0.1' }, { address: '10.0.0.1' }, { flat: 64 }, { flat: 66 }])(
  'a join with %p is refused, on whatever network',
  async (claim) => {
    for (const flat of [undefined, 66]) {
      cluster = await bootCluster(hosts, { flat });
      const refused = cluster.client({ join: () => join('liar', claim) });
      await expect(refused).rejects.toThrow(`a 'join' frame: ${Object.keys(claim)[0]}: this field is unknown`);
      if (flat === undefined) await cluster.close();
    }
  },
);

test('on network flat a host is at the one address that the seed computes, whatever it says of its NAT', async () => {
  cluster = await bootCluster(hosts, { flat: 66 });
  const liar = await cluster.client({ join: () => join('liar', { nat: natReport('10.0.0.7') }) });
  liar.reportNat(natReport('10.0.0.8'));
  const location = await locationOf('liar');
  expect(location.address).toBe('127.66.7.9');
  expect(location.nat).toBeUndefined();
});

describe.each(['with its join', 'later'] as const)('an address of its own that a member names %s', (when) => {
  const named = async (local: string) => {
    cluster = await bootCluster(hosts);
    const liar = await cluster.client({ join: () => join('liar', when === 'later' ? {} : { nat: natReport(local) }) });
    if (when === 'later') liar.reportNat(natReport(local));
    const location = await locationOf('liar');
    expect(location.address).toBeUndefined();
    expect(location.nat).toMatchObject({ reflexiveAddress: '127.0.0.1', ports: liar.welcome.ports });
    return location.nat?.localAddress;
  };

  test.each(['10.0.0.7', '172.16.0.1', '172.31.255.254', '192.168.1.1', '100.64.0.1'])(
    '%s may be met at: it is one of a private network',
    async (local) => {
      expect(await named(local)).toBe(local);
    },
  );

  test.each([
    ...['0.0.0.0', '0.1.2.3', '127.0.0.2', '127.53.0.53', '169.254.169.254', '169.254.170.2', '169.254.0.1'],
    ...['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '172.32.0.1', '192.0.2.1', '8.8.8.8'],
  ])('%s is not told to others: they are told the address that the seed sees', async (local) => {
    expect(await named(local)).toBe('127.0.0.1');
  });
});

describe('a message that asks for a meeting elsewhere', () => {
  const purpose = { for: 'connection', port: 80, sourcePort: 40_000 } as const;
  const punch = (address: string, from: number, near?: true): PeerMessage => {
    return { type: 'punch', id: 7, address, from: [from], near, purpose };
  };
  const punching = (address: string, port: number): PeerMessage => ({
    type: 'punching',
    id: 7,
    address,
    ports: [port],
  });
  const meet = async () => {
    cluster = await bootCluster(hosts);
    const told: string[] = [];
    await cluster.client({
      join: () => join('victim'),
      onPeerMessage: (_from, message) => void told.push('address' in message ? message.address : message.type),
    });
    const reasons: string[] = [];
    const liar = await cluster.client({
      join: () => join('liar', { nat: natReport('10.0.0.7') }),
      onUndeliverable: (_to, _id, reason) => void reasons.push(reason),
    });
    return { told, reasons, liar };
  };

  test.each(['127.0.0.2', '0.0.0.0', '169.254.169.254', '10.0.0.8', '100.64.7.9', '203.0.113.9'])(
    'at %s does not reach the other member',
    async (address) => {
      const { told, reasons, liar } = await meet();
      for (const message of [punch(address, 10_240), punch(address, 10_240, true), punching(address, 10_240)]) {
        liar.sendPeerMessage('victim', message);
      }
      // Frames are served in order.
      await failure(liar.locate('nobody', 1));
      expect(told).toEqual([]);
      const reason = `${address} is not an address of 'liar'; allowed: 127.0.0.1, 10.0.0.7`;
      expect(reasons).toEqual([reason, reason, reason]);
    },
  );

  test('at a port of somebody else, where it names an address of a private network', async () => {
    const { told, reasons, liar } = await meet();
    const [first, many] = liar.welcome.ports;
    for (const port of [first - 1, first + many]) {
      liar.sendPeerMessage('victim', punch('10.0.0.7', port, true));
      liar.sendPeerMessage('victim', punching('10.0.0.7', port));
    }
    await failure(liar.locate('nobody', 1));
    expect(told).toEqual([]);
    expect(reasons).toHaveLength(4);
    expect(reasons[0]).toBe(
      `port ${first - 1} at 10.0.0.7 is not a port of 'liar'; allowed: ${first} to ${first + many - 1}`,
    );
  });

  test('its own are: those that the seed sees, and those of a private network', async () => {
    const { told, liar } = await meet();
    const [first] = liar.welcome.ports;
    liar.sendPeerMessage('victim', punch('127.0.0.1', 50_000));
    liar.sendPeerMessage('victim', punch('10.0.0.7', first, true));
    liar.sendPeerMessage('victim', punching('10.0.0.7', first));
    const client = await cluster.client();
    await failure(client.locate('nobody', 1));
    while (told.length < 3) await new Promise(setImmediate);
    expect(told).toEqual(['127.0.0.1', '10.0.0.7', '10.0.0.7']);
  });
});

test('an instance does not claim an epoch that is to come, which would fence out all that follow', async () => {
  cluster = await bootCluster(hosts);
  const claim = (epoch: number) => cluster.client({ join: () => join('liar', { epoch }) });
  await expect(claim(Number.MAX_SAFE_INTEGER)).rejects.toThrow(
    /^epoch 9007199254740991 is to come; allowed: up to \d+$/,
  );
  await expect(claim(Date.now() + 86_400_000)).rejects.toThrow('is to come');
  const mine = await claim(Date.now());
  mine.close();
  await claim(mine.welcome.self.epoch);
});
