/** `expose`: what it makes of its props, and which props cannot work. */
import { App, Duration, Lazy, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { type ExposeOptions, ImaginaryCluster, IngressTls, Protocol } from '../../../src';

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

test('UDP: an entry of the manifest and a rule of the security group, beside TCP at the same port', () => {
  const app = clusterWith(
    ['web', { port: 53, protocol: Protocol.UDP, flowTimeout: Duration.seconds(10) }],
    ['web', { port: 53 }],
    // The seed's own ports are TCP.
    ['api', { port: 9_410, protocol: Protocol.UDP }],
  );
  expect(manifestOf(app).exposes).toMatchObject([
    { host: 'web', port: 53, protocol: 'udp', flowTimeout: 10_000, maxConnectionsPerClient: 32 },
    { host: 'web', port: 53, protocol: 'tcp', maxConnectionsPerClient: 256 },
    { host: 'api', port: 9_410, protocol: 'udp', flowTimeout: 60_000 },
  ]);
  const rule = (port: number, IpProtocol: string) =>
    Match.objectLike({ CidrIp: '0.0.0.0/0', FromPort: port, ToPort: port, IpProtocol });
  Template.fromStack(app.stack).hasResourceProperties('AWS::EC2::SecurityGroup', {
    SecurityGroupIngress: Match.arrayWith([rule(53, 'udp'), rule(53, 'tcp'), rule(9_410, 'udp')]),
  });
  expect(app.made.map(({ protocol }) => protocol)).toEqual(['udp', 'tcp', 'udp']);
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
  [
    'a protocol that there is not',
    ['web', { port: 80, protocol: 'sctp' as Protocol }],
    /protocol of the exposed host 'web' is .*; allowed: Protocol.TCP or Protocol.UDP/,
  ],
  [
    'server names for datagrams',
    ['web', { port: 80, protocol: Protocol.UDP, serverNames: ['a.test'] }],
    'serverNames is set, and protocol is udp; serverNames is for tcp only',
  ],
  [
    'the PROXY protocol for datagrams',
    ['web', { port: 80, protocol: Protocol.UDP, proxyProtocol: true }],
    'proxyProtocol is set, and protocol is udp; proxyProtocol is for tcp only',
  ],
  [
    "a flow's time-out for connections",
    ['web', { port: 80, flowTimeout: Duration.minutes(1) }],
    'flowTimeout is set, and protocol is tcp; flowTimeout is for udp only',
  ],
  [
    "a flow's time-out out of range",
    ['web', { port: 80, protocol: Protocol.UDP, flowTimeout: Duration.hours(2) }],
    /flowTimeout is .*; allowed/,
  ],
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
    'two hosts on one UDP port',
    [
      ['web', { port: 53, protocol: Protocol.UDP }],
      ['api', { port: 53, protocol: Protocol.UDP }],
    ],
    "exposes.1.port: is 53 of host 'api', as exposes.0 of host 'web'; allowed: another port",
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

test('a certificate of a secret: the seed may read it, and is told which one the manifest means', () => {
  const stack = new Stack(new App(), 'App');
  const cluster = new ImaginaryCluster(stack, 'Shop', { seedStandby: true });
  cluster.addHost('web', { code: lambda.Code.fromInline('x'), command: ['python3'] });
  const secret = new secretsmanager.Secret(stack, 'Certificate');
  cluster.expose('web', { port: 443, hostPort: 80, tls: IngressTls.fromSecret(secret) });
  expect(JSON.parse(cluster._renderManifest()!).exposes[0].tls).toEqual({ secret: 'web-443' });
  const template = Template.fromStack(stack);
  const [id] = Object.entries(template.findResources('AWS::SecretsManager::Secret')).find(([name]) =>
    name.startsWith('Certificate'),
  )!;
  template.hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: {
      Statement: Match.arrayWith([
        {
          Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
          Effect: 'Allow',
          Resource: { Ref: id },
        },
      ]),
    },
  });
  const instances = Object.values(template.findResources('AWS::EC2::Instance'));
  expect(instances).toHaveLength(2);
  for (const instance of instances) {
    const parts = JSON.stringify(instance.Properties.UserData);
    expect(parts).toContain(`--tls-secret 'web-443=",{"Ref":"${id}"}`.replaceAll('\\"', '"'));
  }
});

test('a certificate of files', () => {
  const app = clusterWith(['web', { port: 443, tls: IngressTls.fromFiles('/etc/tls/web.pem', '/etc/tls/web.key') }]);
  expect(manifestOf(app).exposes[0].tls).toEqual({ certificateFile: '/etc/tls/web.pem', keyFile: '/etc/tls/web.key' });
});

test.each<[string, () => unknown, string]>([
  [
    'a relative path',
    () => IngressTls.fromFiles('a.pem', '/b'),
    'certificateFile is "a.pem"; allowed: an absolute path',
  ],
  ['no path', () => IngressTls.fromFiles('/a', undefined as never), 'keyFile is undefined; allowed: an absolute path'],
  [
    'a path that is known at deployment',
    () => IngressTls.fromFiles('/a', Lazy.string({ produce: () => '/b' })),
    'keyFile is known only at deployment',
  ],
  ['no secret', () => IngressTls.fromSecret(undefined as never), 'the secret of a certificate is missing'],
  [
    'something else',
    () => clusterWith(['web', { port: 443, tls: {} as IngressTls }]),
    'allowed: an IngressTls, like IngressTls.fromSecret(secret)',
  ],
])('TLS with %s is refused', (_, make, message) => {
  expect(make).toThrow(message);
});
