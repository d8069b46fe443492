import { Token } from 'aws-cdk-lib';
import { Service, type ServiceOptions } from '../../../src';
import { HOST, manifestOf, newCluster } from '../support';

test('it is in the manifest, with defaults; it has an address of its own, and no resources', () => {
  const { stack, cluster } = newCluster();
  const hosts = cluster.addHosts('api', { ...HOST, count: 2 });
  const service = cluster.addService('api', { hosts });
  expect(service).toMatchObject({ serviceName: 'api', hosts });
  expect(hosts.map(({ virtualAddress }) => virtualAddress)).not.toContain(service.virtualAddress);
  expect(manifestOf(stack).services).toEqual([
    {
      ...{ name: 'api', address: service.virtualAddress, hosts: ['api-0', 'api-1'], instances: [] },
      ...{ maxConnections: 100, sticky: false },
    },
  ]);
});

test('every prop', () => {
  const { stack, cluster } = newCluster();
  const host = cluster.addHost('one', HOST);
  const options = { hosts: [host], maxConnections: 5, maxCpu: 80, sticky: true, address: '100.64.0.77' };
  expect(new Service(cluster, 'x', { ...options, cluster, serviceName: 'api' }).virtualAddress).toBe('100.64.0.77');
  expect(manifestOf(stack).services).toMatchObject([{ ...options, name: 'api', hosts: ['one'] }]);
});

test('a service moves no host, and takes no name from one', () => {
  const before = newCluster().cluster.addHost('api', HOST).virtualAddress;
  const { cluster } = newCluster();
  const host = cluster.addHost('api', HOST);
  cluster.addService('web', { hosts: [host] });
  expect(host.virtualAddress).toBe(before);
  expect(() => cluster.addService('api', { hosts: [host] })).toThrow(
    "Shop/Cluster: the name 'api' of service 'api' is taken by host 'api'; choose another",
  );
  expect(() => cluster.addHost('web', HOST)).toThrow(
    "Shop/Cluster: the name 'web' of host 'web' is taken by service 'web'; choose another",
  );
});

describe('refused', () => {
  const token = Token.asNumber({ Ref: 'X' });
  test.each<[string, Partial<ServiceOptions>, string]>([
    ['no members', { hosts: [] }, "Shop/Cluster/api: service 'api' has no members; required: a host in 'hosts' or"],
    [
      'no connections',
      { maxConnections: 0 },
      'maxConnections is 0; allowed: a whole number of connections from 1 to 10',
    ],
    ['a number known at deployment', { maxConnections: token }, 'maxConnections is known only at deployment'],
    ['too much CPU', { maxCpu: 10_001 }, 'maxCpu is 10001; allowed: a whole number of percent of one CPU from 1 to'],
    ['a bad name of an instance', { instances: ['No'] }, "instances[0] is 'No'; allowed: 1-63 lower-case letters"],
    ['a list known at deployment', { instances: Token.asList({ Ref: 'X' }) }, 'instances is known only at deployment'],
    [
      'an address of nobody',
      { address: '10.0.0.1' },
      "address is '10.0.0.1'; allowed: an IPv4 address from 100.64.0.2",
    ],
  ])('%s', (_, options, message) => {
    const { cluster } = newCluster();
    const host = cluster.addHost('host', HOST);
    expect(() => cluster.addService('api', { hosts: [host], ...options })).toThrow(message);
  });

  test('a host of another cluster', () => {
    const other = newCluster().cluster.addHost('host', HOST);
    expect(() => newCluster().cluster.addService('api', { hosts: [other] })).toThrow(
      "hosts has 'host', which is a host of another cluster; allowed: hosts of this one",
    );
  });

  test('an instance that the cluster does not have, and a host twice: at synthesis', () => {
    const { app, cluster } = newCluster();
    const host = cluster.addHost('host', HOST);
    cluster.addService('api', { hosts: [host, host], instances: ['db'] });
    expect(() => app.synth()).toThrow(
      /"host" on service 'api' twice[\s\S]*"db" on service 'api'; allowed: the name of a host/,
    );
  });
});
