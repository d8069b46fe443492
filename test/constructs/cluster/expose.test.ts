/** `expose`: what it makes of its props, and which props cannot work. */
import { App, Duration, Lazy, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { type ExposeOptions, ImaginaryCluster } from '../../../src';

function clusterWith(...exposed: ReadonlyArray<readonly [string, ExposeOptions]>) {
  const stack = new Stack(new App(), 'App');
  const cluster = new ImaginaryCluster(stack, 'Shop', {});
  for (const name of ['web', 'api'])
    cluster.addHost(name, { code: lambda.Code.fromInline('x'), command: ['python3'], aliases: [`${name}-too`] });
  const made = exposed.map(([host, options]) => cluster.expose(host, options));
  return { stack, cluster, made };
}

const manifestOf = ({ cluster }: ReturnType<typeof clusterWith>) => JSON.parse(cluster._renderManifest() ?? '{}');

test('an entry of the manifest, rules of the security group, the endpoint', () => {
  const app = clusterWith(
    ['web', { port: 443, hostPort: 8_443, allowFrom: ['198.51.100.0/24'], allocationTimeout: Duration.seconds(5) }],
    ['api-too', { port: 80, proxyProtocol: true }],
  );
  expect(manifestOf(app).exposes).toMatchObject([
    { host: 'web', port: 443, hostPort: 8_443, allowFrom: ['198.51.100.0/24'], allocationTimeout: 5_000 },
    { host: 'api-too', port: 80, proxyProtocol: true, allowFrom: ['0.0.0.0/0'], maxConnectionsPerClient: 256 },
  ]);
  const rule = (port: number, CidrIp: string) =>
    Match.objectLike({ CidrIp, FromPort: port, ToPort: port, IpProtocol: 'tcp' });
  Template.fromStack(app.stack).hasResourceProperties('AWS::EC2::SecurityGroup', {
    SecurityGroupIngress: Match.arrayWith([rule(443, '198.51.100.0/24'), rule(80, '0.0.0.0/0')]),
  });
  expect(app.stack.resolve(app.made[0].endpoint)).toEqual({
    'Fn::Join': ['', [{ 'Fn::GetAtt': [expect.any(String), 'PublicIp'] }, ':443']],
  });
});

test('a cluster that exposes nothing has no such field', () => {
  expect(manifestOf(clusterWith())).not.toHaveProperty('exposes');
});

test('a service, which may be added later', () => {
  const app = clusterWith(['shop', { port: 80 }]);
  app.cluster.addService('shop', { hosts: [...app.cluster.hosts] });
  expect(manifestOf(app).exposes).toMatchObject([{ host: 'shop', port: 80 }]);
});

test('several hosts on one port, by server name', () => {
  const app = clusterWith(
    ['web', { port: 443, serverNames: ['web.example.com'] }],
    ['api', { port: 443, serverNames: ['*.api.example.com'] }],
  );
  expect(manifestOf(app).exposes).toHaveLength(2);
});

test.each<[string, readonly [string, ExposeOptions], string | RegExp]>([
  ['a port out of range', ['web', { port: 0 }], /port is 0; allowed: a whole number of the port range from 1 to 65535/],
  ['a port that is no whole number', ['web', { port: 80.5 }], /port is 80.5; allowed/],
  [
    'a port that is known at deployment',
    ['web', { port: Lazy.number({ produce: () => 80 }) }],
    /port is known only at/,
  ],
  ["the seed's port", ['web', { port: 9_410 }], /port is 9410, which is the seed's own/],
  ["the seed's data port", ['web', { port: 9_411 }], /port is 9411, which is the seed's own/],
  ['a host port out of range', ['web', { port: 80, hostPort: 65_536 }], /hostPort is 65536; allowed/],
  ['no block', ['web', { port: 80, allowFrom: ['everybody'] }], /allowFrom has 'everybody'; allowed: IPv4 blocks/],
  ['host bits', ['web', { port: 80, allowFrom: ['10.0.0.1/8'] }], /allowFrom has '10.0.0.1\/8'; allowed/],
  ['no blocks', ['web', { port: 80, allowFrom: [] }], /allowFrom has 0 blocks; allowed: 1 to 64/],
  ['connections', ['web', { port: 80, maxConnectionsPerClient: 0 }], /maxConnectionsPerClient is 0; allowed/],
  ['allocations', ['web', { port: 80, maxAllocationsPerMinutePerClient: 0 }], /maxAllocationsPerMinutePerClient is 0/],
  ['a time-out', ['web', { port: 80, allocationTimeout: Duration.hours(1) }], /allocationTimeout is 3600 s; allowed/],
  ['a name that no host may have', ['Web', { port: 80 }], /the name of an exposed host is 'Web'; allowed/],
  ['no port', ['web', {} as ExposeOptions], /port of the exposed host 'web' is missing; required/],
])('%s is refused', (_, exposed, message) => {
  expect(() => clusterWith(exposed)).toThrow(message);
});

test.each<[string, ReadonlyArray<readonly [string, ExposeOptions]>, string]>([
  [
    'a host that does not exist',
    [['db', { port: 80 }]],
    'exposes.0.host: is "db"; allowed: the name of a host or a service',
  ],
  [
    'two exposed hosts of one port without server names',
    [
      ['web', { port: 80 }],
      ['api', { port: 80 }],
    ],
    "exposes.1.port: is 80 of host 'api', as exposes.0 of host 'web'; allowed: another port, or 'serverNames' on both",
  ],
  [
    'one server name of two hosts',
    [
      ['web', { port: 443, serverNames: ['a.test', 'b.test'] }],
      ['api', { port: 443, serverNames: ['b.test'] }],
    ],
    "exposes.1.serverNames: has \"b.test\" of host 'api', as exposes.0 of host 'web' has",
  ],
  [
    'a server name that is none',
    [['web', { port: 443, serverNames: ['A.test'] }]],
    'exposes.0.serverNames.0: is "A.test"; allowed: a DNS name in lower case',
  ],
])('%s fails the synthesis', (_, exposed, message) => {
  const { stack } = clusterWith(...exposed);
  expect(() => Template.fromStack(stack)).toThrow(message);
});

test('the same port of the same host twice is refused', () => {
  expect(() => clusterWith(['web', { port: 80 }], ['web', { port: 80 }])).toThrow(
    "port 80 of host 'web' is exposed twice",
  );
});
