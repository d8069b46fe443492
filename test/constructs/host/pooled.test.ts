/** Hosts that share one function: a template of many, what they have in common, and what cannot be combined. */
import { Duration, Lazy, Token } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import type { HostGroupOptions } from '../../../src';
import { flat, HOST, manifestOf, newCluster, only, statementsOf } from '../support';

const POOL = (more: Partial<HostGroupOptions> = {}): HostGroupOptions => ({
  ...{ ...HOST, code: HOST.code, count: 3, pooled: true },
  ...more,
});
const CLOUDFORMATION = { resources: 500, bytes: 1024 * 1024 };

test('1,000 hosts are one function, one role and one log group', () => {
  const { stack, cluster } = newCluster();
  const hosts = cluster.addHosts('worker', POOL({ count: 1_000 }));
  cluster.addHost('web', HOST);
  expect(hosts).toHaveLength(1_000);
  const template = Template.fromStack(stack);
  const { Resources } = template.toJSON();
  expect(Object.keys(Resources).length).toBeLessThan(CLOUDFORMATION.resources / 5);
  expect(JSON.stringify(template.toJSON()).length).toBeLessThan(CLOUDFORMATION.bytes / 5);
  template.resourceCountIs('AWS::Lambda::Function', 2);
  const manifest = manifestOf(stack);
  expect(manifest.hosts).toHaveLength(1_001);
  expect(new Set(manifest.hosts.map(({ address }) => address)).size).toBe(1_001);
  const pooled = manifest.hosts.filter((host) => host.pooled);
  expect(pooled.map(({ name }) => name)).toEqual(hosts.map(({ hostName }) => hostName));
  expect(new Set(pooled.map(({ functionName }) => functionName))).toEqual(new Set(['Shop-Cluster-worker']));
  expect(Annotations.fromStack(stack).findWarning('*', Match.anyValue())).toEqual([]);
});

test('the function has tenant isolation, and nothing reserved', () => {
  const { stack, cluster } = newCluster({ reserveConcurrency: true });
  const hosts = cluster.addHosts('worker', POOL({ memorySize: 512, timeout: Duration.minutes(5) }));
  const { Properties } = only(stack, 'AWS::Lambda::Function');
  expect(Properties).toMatchObject({
    FunctionName: 'Shop-Cluster-worker',
    Description: 'Pooled hosts worker of the imaginary cluster Shop-Cluster',
    TenancyConfig: { TenantIsolationMode: 'PER_TENANT' },
    MemorySize: 512,
    Timeout: 300,
  });
  expect(Properties.ReservedConcurrentExecutions).toBeUndefined();
  expect(new Set(hosts.map(({ lambdaFunction }) => lambdaFunction)).size).toBe(1);
  expect(hosts.map(({ functionName }) => functionName)).toEqual(Array(3).fill('Shop-Cluster-worker'));
});

test('a host that is not pooled has no tenants', () => {
  const { stack, cluster } = newCluster();
  cluster.addHosts('worker', POOL({ count: 1, pooled: false }));
  const { Properties } = only(stack, 'AWS::Lambda::Function');
  expect(Properties.FunctionName).toBe('Shop-Cluster-worker-0');
  expect(Properties.TenancyConfig).toBeUndefined();
  expect(manifestOf(stack).hosts[0].pooled).toBe(false);
});

test('names and addresses are those that the hosts have without it', () => {
  const entries = [true, false].map((pooled) => {
    const { stack, cluster } = newCluster();
    const hosts = cluster.addHosts('worker', POOL({ pooled, environment: { A: 'b' } }));
    const known = manifestOf(stack).hosts.map(({ functionName: _, pooled: __, ...rest }) => rest);
    return { known, shown: hosts.map(({ hostName, virtualAddress }) => [hostName, virtualAddress]) };
  });
  expect(entries[0]).toEqual(entries[1]);
});

describe('permissions', () => {
  test('the seed may invoke the function, and one statement is enough', () => {
    const { stack, cluster } = newCluster();
    cluster.addHosts('worker', POOL({ count: 200 }));
    const role = stack.resolve((cluster.seed.role.node.defaultChild as iam.CfnRole).logicalId);
    const statements = statementsOf(stack, role).filter(({ Action }) => Action === 'lambda:InvokeFunction');
    const arn = 'arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:Shop-Cluster-worker';
    expect(statements.flatMap(({ Resource }) => Resource).map(flat)).toEqual([arn]);
  });

  test('what one host is granted, all of them are', () => {
    const { stack, cluster } = newCluster();
    const [first, second] = cluster.addHosts('worker', POOL());
    const bucket = new s3.Bucket(stack, 'Bucket');
    bucket.grantRead(second);
    expect(second.grantPrincipal).toBe(first.grantPrincipal);
    const role = stack.resolve((first.role.node.defaultChild as iam.CfnRole).logicalId);
    const actions = statementsOf(stack, role).flatMap(({ Action }) => Action);
    expect(actions).toEqual(expect.arrayContaining(['logs:PutLogEvents', 's3:GetObject*']));
  });

  test('a role and a log group that are given', () => {
    const { stack, cluster } = newCluster();
    const role = new iam.Role(stack, 'Own', { assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com') });
    const logGroup = new logs.LogGroup(stack, 'OwnLog');
    const hosts = cluster.addHosts('worker', POOL({ role, logGroup }));
    for (const host of hosts) expect([host.role, host.logGroup]).toEqual([role, logGroup]);
    const id = stack.resolve((role.node.defaultChild as iam.CfnRole).logicalId);
    expect(statementsOf(stack, id)).toHaveLength(1);
  });

  test('a VPC: connections of each host are the function’s', () => {
    const { stack, cluster } = newCluster();
    const vpc = new ec2.Vpc(stack, 'Vpc');
    const [first, second] = cluster.addHosts('worker', POOL({ vpc }));
    expect(second.connections.securityGroups).toEqual(first.connections.securityGroups);
    expect(only(stack, 'AWS::Lambda::Function').Properties.VpcConfig).toBeDefined();
  });
});

test('metrics are of the function', () => {
  const { stack, cluster } = newCluster();
  const hosts = cluster.addHosts('worker', POOL());
  const dimensions = stack.resolve(hosts[0].metricDuration().dimensions);
  for (const host of hosts) {
    for (const metric of [host.metricInvocations(), host.metricErrors(), host.metricThrottles(), host.metric('X')]) {
      expect(stack.resolve(metric.dimensions)).toEqual(dimensions);
    }
  }
});

describe('the environment', () => {
  const later = (value: string) => Lazy.string({ produce: () => value });

  test('known values are each host’s own', () => {
    const { stack, cluster } = newCluster();
    const hosts = cluster.addHosts('worker', POOL({ environment: { COLOR: 'green' } }));
    hosts[1].addEnvironment('SHARD', '1');
    expect(manifestOf(stack).hosts.map(({ environment }) => environment)).toEqual([
      { COLOR: 'green' },
      { COLOR: 'green', SHARD: '1' },
      { COLOR: 'green' },
    ]);
    expect(only(stack, 'AWS::Lambda::Function').Properties.Environment).toBeUndefined();
  });

  test('a value known only at deployment is the function’s, and passed on by the hosts that have it', () => {
    const { stack, cluster } = newCluster();
    const [first] = cluster.addHosts('worker', POOL({ environment: { TABLE: Token.asString({ Ref: 'Table' }) } }));
    first.addEnvironment('QUEUE', Token.asString({ Ref: 'Queue' }));
    const { Variables } = only(stack, 'AWS::Lambda::Function').Properties.Environment;
    expect(Variables).toEqual({ TABLE: { Ref: 'Table' }, QUEUE: { Ref: 'Queue' } });
    expect(manifestOf(stack).hosts.map(({ environment }) => environment.IMAGINARY_PASS_ENV)).toEqual([
      'TABLE,QUEUE',
      'TABLE',
      'TABLE',
    ]);
  });

  test('two such values of one name are refused', () => {
    const { cluster } = newCluster();
    const [first, second] = cluster.addHosts('worker', POOL());
    const shared = later('a');
    for (const host of [first, second]) host.addEnvironment('SHARD', shared);
    expect(() => second.addEnvironment('SHARD', later('b'))).toThrow(
      "Shop/Cluster/worker-1: SHARD in the environment of 'worker-1' is another value known only at deployment than that " +
        "of 'worker-1', and both are in the function 'Shop-Cluster-worker'",
    );
    expect(() => second.addEnvironment('SHARD', '1')).not.toThrow();
  });
});

describe('what cannot be combined is refused, and what to do is said', () => {
  test.each<[string, Partial<HostGroupOptions>, string]>([
    [
      'reserved concurrency',
      { reserveConcurrency: true },
      "Shop/Cluster: reserveConcurrency of 'worker' is true beside 'pooled'; allowed: false. A pooled function runs once for " +
        "each of its hosts, and Lambda reserves nothing for one of them: leave 'reserveConcurrency' or 'pooled' out",
    ],
    ['an alias for several hosts', { aliases: ['w'] }, "the name 'w' of host 'worker-1' is taken by host 'worker-0'"],
    ['two rules for logs', { logRetention: 1, logGroup: {} as any }, 'allowed: a logs.ILogGroup'],
    ['memory that there is not', { memorySize: 5 }, 'Shop/Cluster/worker-0: memorySize is 5; allowed: '],
    ['another runtime', { runtime: lambda.Runtime.PYTHON_3_13 }, "runtime is 'python3.13'; allowed: a Node.js runtime"],
  ])('%s', (_, more, message) => {
    expect(() => newCluster().cluster.addHosts('worker', POOL(more))).toThrow(message);
  });

  test('a prefix with which the function’s name is too long', () => {
    const { cluster } = newCluster({ clusterName: 'c'.repeat(32) });
    expect(() => cluster.addHosts('w'.repeat(32), POOL())).toThrow('(65 characters)');
    expect(() => newCluster({ clusterName: 'c'.repeat(32) }).cluster.addHosts('w'.repeat(31), POOL())).not.toThrow();
  });

  test('a function that another host has', () => {
    const first = newCluster().cluster;
    first.addHost('worker', HOST);
    expect(() => first.addHosts('worker', POOL())).toThrow(
      "Shop/Cluster: the function of the pooled hosts 'worker' would be called 'Shop-Cluster-worker', as that of host 'worker'; choose another name",
    );
    const second = newCluster().cluster;
    second.addHosts('worker', POOL());
    expect(() => second.addHost('worker', HOST)).toThrow("as that of the pooled hosts 'worker'; choose another name");
    expect(() => second.addHosts('worker', POOL())).toThrow("the name 'worker-0' of host 'worker-0' is taken");
  });

  test('what only the function itself can have, by CDK', () => {
    const [host] = newCluster().cluster.addHosts('worker', POOL());
    expect(() => host.lambdaFunction.addFunctionUrl()).toThrow(/tenant isolation/i);
    const version = host.lambdaFunction.currentVersion;
    const alias = { aliasName: 'live', version, provisionedConcurrentExecutions: 1 };
    expect(() => new lambda.Alias(host, 'Alias', alias)).toThrow(/tenant isolation/i);
  });
});

test.each([
  [2_500, 0],
  [2_501, 1],
])('%d hosts: so many warnings about the quota: %d', (count, warnings) => {
  const { stack, cluster } = newCluster();
  cluster.addHosts('worker', POOL({ count }));
  const text = Match.stringLikeRegexp(`'worker' has ${count} pooled hosts. Lambda keeps 2500 sandboxes`);
  expect(Annotations.fromStack(stack).findWarning('*', text)).toHaveLength(warnings);
});
