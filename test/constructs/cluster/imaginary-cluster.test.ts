import * as fs from 'node:fs';
import * as path from 'node:path';
import { NestedStack, Stack, Stage, Token } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { ImaginaryCluster, type ImaginaryClusterProps } from '../../../src';
import { parseManifest } from '../../../src/contract/manifest';
import { flat, HOST, manifestOf, newApp, newCluster, newStack, only, statementsOf } from '../support';

describe('defaults', () => {
  test('name, block, port and key', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', HOST);
    expect(cluster.clusterName).toBe('Shop-Cluster');
    expect(cluster.cidr).toBe('100.64.0.0/16');
    const manifest = manifestOf(stack);
    expect(manifest.cluster).toMatchObject({ name: 'Shop-Cluster', cidr: '100.64.0.0/16' });
    expect(manifest.seed).toEqual({ port: 9410, dataPort: 9411 });
    expect(only(stack, 'AWS::SecretsManager::Secret').Properties.GenerateSecretString).toEqual({
      ExcludePunctuation: true,
      PasswordLength: 64,
    });
  });

  test.each([
    ['a_b', 'Cl/ster', 'a-b-Cl-ster'],
    ['S'.repeat(40), 'Cluster', /^S{23}-[0-9a-f]{8}$/],
  ])('the name from stack %s and id %s', (stackName, id, expected) => {
    const stack = new Stack(newApp(), 'Stack');
    Object.defineProperty(stack, 'stackName', { value: stackName });
    const { clusterName } = new ImaginaryCluster(stack, id.replace('/', '.'));
    expect(clusterName).toMatch(expected);
    expect(clusterName.length).toBeLessThanOrEqual(32);
  });

  test('long names that differ at their end stay different', () => {
    const name = (id: string) => new ImaginaryCluster(newStack(), `${'x'.repeat(40)}${id}`).clusterName;
    expect(name('a')).not.toBe(name('b'));
  });

  test('a cluster without hosts is a warning', () => {
    const empty = newCluster();
    const warning = Match.stringLikeRegexp("the cluster 'Shop-Cluster' has no hosts.*no-hosts");
    Annotations.fromStack(empty.stack).hasWarning('/Shop/Cluster', warning);
    const { stack, cluster } = newCluster();
    cluster.addHost('api', HOST);
    Annotations.fromStack(stack).hasNoWarning('/Shop/Cluster', Match.anyValue());
  });
});

describe('overrides', () => {
  test('name, block, port, key and log retention', () => {
    const stack = newStack();
    const clusterKey = new secretsmanager.Secret(stack, 'Mine');
    const cluster = new ImaginaryCluster(stack, 'Cluster', {
      clusterName: 'shop',
      cidr: '10.200.0.0/20',
      seedPort: 4000,
      clusterKey,
      logRetention: logs.RetentionDays.ONE_DAY,
    });
    const host = cluster.addHost('api', HOST);
    cluster.addHost('db', { ...HOST, logRetention: logs.RetentionDays.ONE_YEAR });
    expect(cluster.clusterKey).toBe(clusterKey);
    expect(host.functionName).toBe('shop-api');
    expect(host.virtualAddress).toMatch(/^10\.200\.\d+\.\d+$/);
    expect(manifestOf(stack)).toMatchObject({ cluster: { name: 'shop', cidr: '10.200.0.0/20' }, seed: { port: 4000 } });
    Template.fromStack(stack).resourceCountIs('AWS::SecretsManager::Secret', 1);
    const retention = (id: string) =>
      Object.entries(Template.fromStack(stack).findResources('AWS::Logs::LogGroup')).find(([key]) =>
        key.includes(id),
      )?.[1].Properties.RetentionInDays;
    expect([retention('apiLog'), retention('dbLog')]).toEqual([1, 365]);
  });

  test('a nested stack needs a name', () => {
    const nested = new NestedStack(newStack(), 'Nested');
    expect(() => new ImaginaryCluster(nested, 'Cluster')).toThrow(
      "Shop/Nested/Cluster: the stack's name is known only at deployment, so the cluster needs one: set 'clusterName'",
    );
    const cluster = new ImaginaryCluster(nested, 'Named', { clusterName: 'nested' });
    cluster.addHost('api', HOST);
    Template.fromStack(nested).hasResourceProperties('AWS::Lambda::Function', { FunctionName: 'nested-api' });
  });
});

describe('groups of hosts', () => {
  test('are numbered and have consecutive addresses', () => {
    const { stack, cluster } = newCluster();
    const workers = cluster.addHosts('worker', { ...HOST, code: HOST.code, count: 3, address: '100.64.9.254' });
    expect(workers.map(({ hostName }) => hostName)).toEqual(['worker-0', 'worker-1', 'worker-2']);
    expect(workers.map(({ virtualAddress }) => virtualAddress)).toEqual([
      '100.64.9.254',
      '100.64.9.255',
      '100.64.10.0',
    ]);
    expect(manifestOf(stack).hosts.map(({ name, address }) => [name, address])).toEqual([
      ['worker-0', '100.64.9.254'],
      ['worker-1', '100.64.9.255'],
      ['worker-2', '100.64.10.0'],
    ]);
  });

  test.each([
    [0, "count of 'worker' is 0; allowed: a whole number of hosts in 100.64.0.0/28 from 1 to 10"],
    [1.5, 'is 1.5; allowed: a whole number'],
    [11, 'is 11; allowed: a whole number of hosts in 100.64.0.0/28 from 1 to 10'],
  ])('of %d in a small block', (count, message) => {
    const { cluster } = newCluster({ cidr: '100.64.0.0/28' });
    expect(() => cluster.addHosts('worker', { ...HOST, count })).toThrow(message);
  });

  test('whose last address is outside of the block', () => {
    const { cluster } = newCluster({ cidr: '100.64.0.0/24' });
    expect(() => cluster.addHosts('w', { ...HOST, count: 4, address: '100.64.0.239' })).toThrow(
      "address is '100.64.0.239'; allowed: an IPv4 address from 100.64.0.2 to 100.64.0.236",
    );
  });

  test('with a name that another host has', () => {
    const { cluster } = newCluster();
    cluster.addHost('worker-1', HOST);
    expect(() => cluster.addHosts('worker', { ...HOST, count: 2 })).toThrow(
      "the name 'worker-1' of host 'worker-1' is taken",
    );
  });
});

describe('the manifest', () => {
  test('has the hosts that were added after everything else', () => {
    const { app, stack, cluster } = newCluster();
    cluster.addHost('first', HOST);
    const late = new iam.Role(stack, 'Late', { assumedBy: new iam.AccountRootPrincipal() });
    cluster.grantJoin(late);
    cluster.addHost('last', HOST);
    expect(manifestOf(stack).hosts.map(({ name }) => name)).toEqual(['first', 'last']);
    // The asset of this content and of no other is published.
    const assets = JSON.parse(fs.readFileSync(path.join(app.outdir, 'Shop.assets.json'), 'utf8'));
    const sources = Object.values<any>(assets.files).map(({ source }) => source.path);
    expect(sources.filter((source) => /^asset\..*\.json$/.test(source))).toHaveLength(1);
  });

  test('adding a host changes no address', () => {
    const before = newCluster();
    const after = newCluster();
    for (const name of ['a', 'b', 'c']) before.cluster.addHost(name, HOST);
    after.cluster.addHosts('new', { ...HOST, count: 20 });
    for (const name of ['c', 'other', 'b', 'a']) after.cluster.addHost(name, HOST);
    const addresses = new Map(manifestOf(after.stack).hosts.map(({ name, address }) => [name, address]));
    for (const { name, address } of manifestOf(before.stack).hosts) expect(addresses.get(name)).toBe(address);
  });

  test('is where the seed downloads it from', () => {
    const { app, stack, cluster } = newCluster();
    cluster.addHost('api', HOST);
    const instance = only(stack, 'AWS::EC2::Instance');
    const [, hash] = /^asset\.([0-9a-f]{64})\.json$/.exec(instance.Metadata['imaginary:manifest'].path)!;
    expect(flat(instance.Properties.UserData)).toContain(`/${hash}.json'`);
    const assets = JSON.parse(fs.readFileSync(path.join(app.outdir, 'Shop.assets.json'), 'utf8'));
    expect(assets.files[hash].source).toEqual({ path: `asset.${hash}.json`, packaging: 'file' });
    expect(Object.values<any>(assets.files[hash].destinations)[0].objectKey).toBe(`${hash}.json`);
  });

  test("of a cluster in a stage is found from the stage's template", () => {
    const app = newApp();
    const stage = new Stage(app, 'Prod');
    const stack = new Stack(stage, 'Shop');
    new ImaginaryCluster(stack, 'Cluster', { clusterName: 'staged' }).addHost('api', HOST);
    const { template, templateFullPath } = app
      .synth()
      .getNestedAssembly('assembly-Prod')
      .getStackArtifact(stack.artifactId);
    const instance = Object.values<any>(template.Resources).find((r) => r.Type === 'AWS::EC2::Instance');
    const file = path.resolve(path.dirname(templateFullPath), instance.Metadata['imaginary:manifest'].path);
    expect(parseManifest(fs.readFileSync(file, 'utf8')).cluster.name).toBe('staged');
    const assets = JSON.parse(fs.readFileSync(templateFullPath.replace('.template.json', '.assets.json'), 'utf8'));
    const sources = Object.values<any>(assets.files).map((f) =>
      path.resolve(path.dirname(templateFullPath), f.source.path),
    );
    expect(sources).toContain(file);
  });

  test('says which hosts collide, all at once', () => {
    const { app, cluster } = newCluster({ cidr: '100.64.0.0/28' });
    for (let i = 0; i < 9; i++) cluster.addHost(`host${i}`, HOST);
    expect(() => app.synth()).toThrow(
      /\[Shop\/Cluster\] hosts '.*' and '.*' both map to the virtual address .*: address: '/,
    );
  });
});

describe('permissions', () => {
  test('the seed may invoke exactly the functions of the cluster', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', HOST);
    cluster.addHosts('worker', { ...HOST, code: HOST.code, count: 2 });
    const role = stack.resolve((cluster.seed.role.node.defaultChild as iam.CfnRole).logicalId);
    const statements = statementsOf(stack, role).filter(({ Action }) => String(Action).startsWith('lambda:'));
    expect(new Set(statements.map(({ Action }) => Action))).toEqual(new Set(['lambda:InvokeFunction']));
    const arn = 'arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:Shop-Cluster';
    expect(statements.flatMap(({ Resource }) => Resource).map(flat)).toEqual(
      ['api', 'worker-0', 'worker-1'].map((name) => `${arn}-${name}`),
    );
  });

  test('of a cluster of 150 hosts fit in the policies of a role', () => {
    const { stack, cluster } = newCluster();
    cluster.addHosts('worker', { ...HOST, count: 150 });
    const template = Template.fromStack(stack);
    const role = stack.resolve((cluster.seed.role.node.defaultChild as iam.CfnRole).logicalId);
    const statements = statementsOf(stack, role).filter(({ Action }) => Action === 'lambda:InvokeFunction');
    expect(statements.flatMap(({ Resource }) => Resource)).toHaveLength(150);
    const size = ({ Properties: { PolicyDocument } }: any) =>
      JSON.stringify({
        ...PolicyDocument,
        Statement: PolicyDocument.Statement.map((statement: any) => ({
          ...statement,
          Resource: [statement.Resource].flat().map(flat),
        })),
      }).length;
    const managed = Object.values<any>(template.findResources('AWS::IAM::ManagedPolicy'));
    const inline = Object.values<any>(template.findResources('AWS::IAM::Policy'));
    expect(Math.max(...managed.map(size))).toBeLessThan(6_144);
    expect(Math.max(...inline.map(size))).toBeLessThan(10_240);
    expect(managed.length).toBeLessThanOrEqual(10);
  });

  test('grantJoin lets read the key and nothing else', () => {
    const { stack, cluster } = newCluster();
    const role = new iam.Role(stack, 'Vm', { assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com') });
    cluster.grantJoin(role).assertSuccess();
    const id = stack.resolve((role.node.defaultChild as iam.CfnRole).logicalId);
    expect(statementsOf(stack, id)).toEqual([
      {
        Effect: 'Allow',
        Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
        Resource: stack.resolve(cluster.clusterKey.secretArn),
      },
    ]);
  });

  test('a host function may not read the key', () => {
    const { stack, cluster } = newCluster();
    const host = cluster.addHost('api', HOST);
    const role = stack.resolve((host.role.node.defaultChild as iam.CfnRole).logicalId);
    expect(JSON.stringify(statementsOf(stack, role))).not.toContain('secretsmanager');
  });
});

test('a cluster of another app', () => {
  const stack = newStack();
  const vpc = new ec2.Vpc(stack, 'Vpc');
  const securityGroup = new ec2.SecurityGroup(stack, 'SeedGroup', { vpc });
  const instanceGroup = new ec2.SecurityGroup(stack, 'InstanceGroup', { vpc, allowAllOutbound: false });
  const cluster = ImaginaryCluster.fromImaginaryClusterAttributes(stack, 'Imported', {
    clusterName: 'shop',
    clusterKey: secretsmanager.Secret.fromSecretNameV2(stack, 'Key', 'shop-key'),
    seedAddress: '203.0.113.7',
    securityGroups: [securityGroup],
  });
  expect([cluster.clusterName, cluster.seedEndpoint]).toEqual(['shop', '203.0.113.7:9410']);
  instanceGroup.connections.allowToDefaultPort(cluster);
  Template.fromStack(stack).hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
    FromPort: 9410,
    ToPort: 9411,
    GroupId: stack.resolve(securityGroup.securityGroupId),
    SourceSecurityGroupId: stack.resolve(instanceGroup.securityGroupId),
  });
  const role = new iam.Role(stack, 'Vm', { assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com') });
  cluster.grantJoin(role).assertSuccess();
  const other = ImaginaryCluster.fromImaginaryClusterAttributes(stack, 'Other', {
    clusterName: 'shop',
    clusterKey: cluster.clusterKey,
    seedAddress: '203.0.113.7',
    seedPort: 4000,
  });
  expect(other.seedEndpoint).toBe('203.0.113.7:4000');
});

describe('what cannot work is refused', () => {
  const token = Token.asString({ Ref: 'Something' });
  const cases: Array<[string, ImaginaryClusterProps, string]> = [
    [
      'a name with a space',
      { clusterName: 'my shop' },
      "Shop/Cluster: clusterName is 'my shop'; allowed: 1-32 letters, digits or hyphens",
    ],
    ['a name that is too long', { clusterName: 'x'.repeat(33) }, 'allowed: 1-32 letters, digits or hyphens'],
    [
      'a name known at deployment',
      { clusterName: token },
      'clusterName is known only at deployment, but is part of the manifest',
    ],
    ['no block', { cidr: 'all' }, "cidr is 'all'; allowed: an IPv4 block from /16 to /28 with no host bits set"],
    ['a block with host bits', { cidr: '10.0.0.1/24' }, "cidr is '10.0.0.1/24'; allowed: an IPv4 block"],
    ['a block that is too large', { cidr: '10.0.0.0/8' }, "cidr is '10.0.0.0/8'; allowed: an IPv4 block"],
    ['a block that is too small', { cidr: '10.0.0.0/29' }, "cidr is '10.0.0.0/29'; allowed: an IPv4 block"],
    ['a block known at deployment', { cidr: token }, 'cidr is known only at deployment'],
    [
      'a port that does not exist',
      { seedPort: 70_000 },
      'seedPort is 70000; allowed: a whole number of the port range from 1 to 65534',
    ],
    ['a port known at deployment', { seedPort: Token.asNumber({ Ref: 'X' }) }, 'seedPort is known only at deployment'],
    [
      'subnets of no VPC',
      { vpcSubnets: { subnetType: ec2.SubnetType.PUBLIC } },
      "vpcSubnets is set without 'vpc'; pass the VPC",
    ],
  ];
  test.each(cases)('%s', (_, props, message) => {
    expect(() => newCluster(props)).toThrow(message);
  });
});
