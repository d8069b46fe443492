/** `seedStandby`: a second seed, the table of the lease, and nothing of the first one changed. */
import type { Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { ImaginaryCluster, type ImaginaryClusterProps } from '../../../src';
import { flat, HOST, newCluster, newStack, only, statementsOf } from '../support';

const resources = (stack: Stack) => Template.fromStack(stack).toJSON().Resources as Record<string, any>;
const instancesOf = (stack: Stack) =>
  Object.entries(resources(stack)).filter(([, { Type }]) => Type === 'AWS::EC2::Instance');
const idOf = (stack: Stack, instance: ec2.Instance) => stack.resolve(instance.instanceId).Ref as string;

describe('with a standby', () => {
  const { stack, cluster } = newCluster({ seedStandby: true });
  cluster.addHost('api', HOST);
  const { seed } = cluster;
  const first = () => resources(stack)[idOf(stack, seed.instance)];
  const second = () => resources(stack)[idOf(stack, seed.standbyInstance!)];

  test('two instances that are equal but for what tells them apart', () => {
    expect(instancesOf(stack)).toHaveLength(2);
    const { UserData: one, NetworkInterfaces: near, IamInstanceProfile: _, ...properties } = first().Properties;
    const { UserData: two, NetworkInterfaces: far, IamInstanceProfile: __, ...others } = second().Properties;
    const equal = ({ Tags, AvailabilityZone, ...rest }: any) => rest;
    expect(equal(others)).toEqual(equal(properties));
    expect(others.AvailabilityZone).not.toEqual(properties.AvailabilityZone);
    expect(far[0].GroupSet).toEqual(near[0].GroupSet);
    // Each names its own address, then the other's.
    const addresses = (userData: any) =>
      [...flat(userData).matchAll(/--(address|standby) '(\$\{\w+\.PublicIp\}:9410)'/g)].map(([, flag, at]) => [
        flag,
        at,
      ]);
    const here = flat(stack.resolve(cluster.seedEndpoint));
    const there = flat(stack.resolve(seed.standbyEndpoint!));
    expect(here).not.toBe(there);
    expect(addresses(one)).toEqual([
      ['address', here],
      ['standby', there],
    ]);
    expect(addresses(two)).toEqual([
      ['address', there],
      ['standby', here],
    ]);
    const rest = (userData: any) => flat(userData).replaceAll(here, 'A').replaceAll(there, 'B');
    const swapped = rest(two).replace("'B'", "'C'").replace("'A'", "'B'").replace("'C'", "'A'");
    expect(swapped.replace(" \\\n  --second 'yes'", '')).toBe(rest(one));
    expect(rest(two)).toContain("--second 'yes'");
    expect(rest(one)).toMatch(/--lease-table '\$\{ClusterSeedLeaseTable\w+\}'/);
    expect(flat(one).length).toBeLessThan(16_000);
  });

  test('each has a fixed address', () => {
    const pairs = Object.values(resources(stack))
      .filter(({ Type }) => Type === 'AWS::EC2::EIPAssociation')
      .map(({ Properties }) => [Properties.AllocationId, Properties.InstanceId]);
    expect(pairs).toEqual([
      [stack.resolve(seed.elasticIp.attrAllocationId), stack.resolve(seed.instance.instanceId)],
      [stack.resolve(seed.standbyElasticIp!.attrAllocationId), stack.resolve(seed.standbyInstance!.instanceId)],
    ]);
  });

  test('an update restarts one after the other', () => {
    expect(second().DependsOn).toContain(idOf(stack, seed.instance));
    expect(first().DependsOn ?? []).not.toContain(idOf(stack, seed.standbyInstance!));
  });

  test('the table: paid by the request, encrypted as by default, gone with the stack', () => {
    const table = only(stack, 'AWS::DynamoDB::Table');
    expect(table.Properties).toEqual({
      KeySchema: [{ AttributeName: 'cluster', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'cluster', AttributeType: 'S' }],
      BillingMode: 'PAY_PER_REQUEST',
    });
    expect([table.DeletionPolicy, table.UpdateReplacePolicy]).toEqual(['Delete', 'Delete']);
  });

  test('the seeds may read and write its items, and nobody may do anything else with it', () => {
    const role = stack.resolve((seed.role.node.defaultChild as iam.CfnRole).logicalId);
    const table = stack.resolve(seed.leaseTable!.tableArn);
    const about = statementsOf(stack, role).filter(
      ({ Resource }) => JSON.stringify(Resource) === JSON.stringify(table),
    );
    expect(about).toEqual([
      { Sid: 'HoldLease', Effect: 'Allow', Action: ['dynamodb:GetItem', 'dynamodb:PutItem'], Resource: table },
    ]);
    const all = JSON.stringify(Object.values(resources(stack)).filter(({ Type }) => Type.startsWith('AWS::IAM::')));
    expect(all.match(/dynamodb:/g)).toHaveLength(2);
  });

  test('its own VPC has a second subnet, in another zone, with a way out', () => {
    const subnets = Object.entries(resources(stack)).filter(([, { Type }]) => Type === 'AWS::EC2::Subnet');
    expect(subnets.map(([, { Properties }]) => Properties.CidrBlock)).toEqual(['10.94.0.0/24', '10.94.1.0/24']);
    const zones = subnets.map(([, { Properties }]) => JSON.stringify(Properties.AvailabilityZone));
    expect(new Set(zones).size).toBe(2);
    const [, [id, standby]] = subnets;
    expect(second().Properties.NetworkInterfaces[0].SubnetId).toEqual({ Ref: id });
    const block = Object.keys(resources(stack)).find((name) => /StandbyBlock/.test(name));
    expect(standby.DependsOn).toContain(block);
    const routes = Object.values(resources(stack)).filter(({ Type }) => Type === 'AWS::EC2::Route');
    expect(routes.map(({ Properties }) => Properties.DestinationCidrBlock)).toEqual(['0.0.0.0/0', '0.0.0.0/0']);
    expect(routes[0].Properties.GatewayId).toEqual(routes[1].Properties.GatewayId);
  });

  test('the manifest, which only the first instance names, says so', () => {
    const named = instancesOf(stack).filter(([, { Metadata }]) => Metadata?.['imaginary:manifest']);
    expect(named.map(([id]) => id)).toEqual([idOf(stack, seed.instance)]);
    expect(JSON.parse(cluster._renderManifest()!).seed).toEqual({ port: 9410, dataPort: 9411, standby: true });
  });

  test('no warning', () => {
    expect(Annotations.fromStack(stack).findWarning('*', Match.anyValue())).toEqual([]);
  });
});

test('to set it changes nothing of what runs already, but what the first seed is told and may do', () => {
  const [without, withOne] = [{}, { seedStandby: true }].map((props: ImaginaryClusterProps) => {
    const { stack, cluster } = newCluster(props);
    cluster.addHost('api', HOST);
    return resources(stack);
  });
  const changed = Object.keys(without).filter((id) => JSON.stringify(without[id]) !== JSON.stringify(withOne[id]));
  expect(changed.map((id) => without[id].Type).sort()).toEqual(['AWS::EC2::Instance', 'AWS::IAM::Policy']);
});

test('without it there is no table, and no word of it in the manifest', () => {
  for (const seedStandby of [undefined, false]) {
    const { stack, cluster } = newCluster({ seedStandby });
    Template.fromStack(stack).resourceCountIs('AWS::DynamoDB::Table', 0);
    expect(instancesOf(stack)).toHaveLength(1);
    const { standbyEndpoint, standbyInstance, standbyElasticIp, leaseTable } = cluster.seed;
    expect([standbyEndpoint, standbyInstance, standbyElasticIp, leaseTable]).toEqual(Array(4).fill(undefined));
    expect(JSON.parse(cluster._renderManifest()!).seed).toEqual({ port: 9410, dataPort: 9411 });
  }
});

describe('in a VPC that is brought along', () => {
  const placed = (vpcOf: (stack: Stack) => ImaginaryClusterProps) => {
    const stack = newStack();
    const cluster = new ImaginaryCluster(stack, 'Cluster', { ...vpcOf(stack), seedStandby: true });
    cluster.addHost('api', HOST);
    const subnets = [cluster.seed.instance, cluster.seed.standbyInstance!].map(
      (instance) => resources(stack)[idOf(stack, instance)].Properties.NetworkInterfaces[0].SubnetId,
    );
    return { stack, subnets, warnings: Annotations.fromStack(stack).findWarning('*', Match.anyValue()) };
  };

  test('two zones', () => {
    let vpc: ec2.Vpc | undefined;
    const { stack, subnets, warnings } = placed((scope) => {
      vpc = new ec2.Vpc(scope, 'Vpc', { natGateways: 0, maxAzs: 2 });
      return { vpc };
    });
    expect(subnets).toEqual(vpc!.publicSubnets.map(({ subnetId }) => stack.resolve(subnetId)));
    expect(warnings).toEqual([]);
    expect(Object.values(resources(stack)).filter(({ Type }) => Type === 'AWS::EC2::VPCCidrBlock')).toEqual([]);
  });

  test('one zone: both are there, and a warning says what that means', () => {
    const { subnets, warnings } = placed((scope) => ({
      vpc: new ec2.Vpc(scope, 'Vpc', { natGateways: 0, maxAzs: 1 }),
    }));
    expect(subnets[0]).toEqual(subnets[1]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0].entry.data).toMatch(/^both seeds are in one availability zone, and fail with it/);
  });

  test('chosen subnets, the first two of which are in one zone', () => {
    let vpc: ec2.Vpc | undefined;
    const { stack, subnets } = placed((scope) => {
      const subnet = (name: string) => ({ name, subnetType: ec2.SubnetType.PUBLIC });
      vpc = new ec2.Vpc(scope, 'Vpc', { natGateways: 0, maxAzs: 2, subnetConfiguration: [subnet('A'), subnet('B')] });
      const [a0, a1, b0] = vpc.publicSubnets;
      return { vpc, vpcSubnets: { subnets: [a0, b0, a1] } };
    });
    const [first] = vpc!.publicSubnets;
    const elsewhere = vpc!.publicSubnets.filter(({ availabilityZone }) => availabilityZone !== first.availabilityZone);
    expect(subnets[0]).toEqual(stack.resolve(first.subnetId));
    expect(elsewhere.map(({ subnetId }) => stack.resolve(subnetId))).toContainEqual(subnets[1]);
  });
});

test('both instances are of the architecture that was chosen', () => {
  const { stack, cluster } = newCluster({ seedStandby: true, seedInstanceType: new ec2.InstanceType('t3.small') });
  cluster.addHost('api', { ...HOST, architecture: lambda.Architecture.X86_64 });
  const { Parameters } = Template.fromStack(stack).toJSON();
  for (const [, { Properties }] of instancesOf(stack)) {
    expect(Properties.InstanceType).toBe('t3.small');
    expect(Parameters[Properties.ImageId.Ref].Default).toMatch(/-x86_64$/);
  }
});
