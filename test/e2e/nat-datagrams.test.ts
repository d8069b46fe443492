/**
 * UDP between hosts that are behind NATs: over a punched connection where there can be one, over a relayed one
 * elsewhere.
 */
import { bootCluster, type TestCluster } from '../support/cluster';
import { datagramWakesSuspended, hostsAskEachOther, udpClient, udpHosts } from '../support/datagrams';
import { guestFiles } from '../support/guests';

describe.each([
  ['port-preserving', 'punched'],
  ['endpoint-independent', 'punched'],
  ['symmetric', 'relayed'],
  ['port-preserving+no-udp', 'punched'],
])('NATs of kind %s', (kind, way) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster(udpHosts, {
      name: `udp-${kind.replace('+', '-')}`,
      upArguments: ['--network', 'nat', '--nat', kind],
      files: guestFiles('udp.py', 'udp_client.py'),
    });
  });
  afterAll(() => cluster?.dispose());

  const python3 = (...args: string[]) => udpClient(cluster, ...args);

  test('the first datagram to an imagined host allocates it, and is answered from where it went', async () => {
    const result = await python3('sendto', 'stats', '8125');
    const { address } = await cluster.host('stats');
    expect(result.source).toEqual([address, 8125]);
    expect(result.answer).toMatchObject({ data: 'hello', local: ['0.0.0.0', 8125], host: 'stats' });
    expect(result.answer.peer[0]).toMatch(/^100\.64\./);
    expect(result.answer.peer[1]).toBe(result.local[1]);
  });

  test('a connected socket sees its peer', async () => {
    const result = await python3('connected', 'other', '8125');
    const { address } = await cluster.host('other');
    expect(result.connected[1]).toEqual([address, 8125]);
    expect(result.source).toEqual([address, 8125]);
  });

  test('one host asks another one, from the port that others know it by; also a port below 1024', () =>
    hostsAskEachOther(cluster));

  test('a datagram wakes a host that is suspended', () => datagramWakesSuspended(cluster));

  test('relayed exactly where no connection can be punched', async () => {
    const events = await cluster.events();
    expect(events.some(({ event }) => event === 'relay-started')).toBe(way === 'relayed');
  });
});
