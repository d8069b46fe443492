import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import { ImaginaryCluster } from '../../../src';
import { flat, HOST, newCluster, newStack, only, statementsOf } from '../support';

describe('defaults', () => {
  test('a small arm64 instance with Amazon Linux 2023, IMDSv2 and an encrypted volume', () => {
    const { stack } = newCluster();
    const { Properties } = only(stack, 'AWS::EC2::Instance');
    expect(Properties).toMatchObject({
      InstanceType: 't4g.micro',
      MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 1 },
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { Encrypted: true, VolumeType: 'gp3' } }],
    });
    expect(Properties.KeyName).toBeUndefined();
    const image = Template.fromStack(stack).toJSON().Parameters[Properties.ImageId.Ref];
    expect(image.Default).toMatch(/^\/aws\/service\/ami-amazon-linux-latest\/al2023-ami-kernel-.*-arm64$/);
  });

  test('its own VPC: one public subnet, no NAT gateway, rejected traffic in a log', () => {
    const { stack } = newCluster();
    const template = Template.fromStack(stack);
    template.resourceCountIs('AWS::EC2::VPC', 1);
    template.resourceCountIs('AWS::EC2::Subnet', 1);
    template.resourceCountIs('AWS::EC2::NatGateway', 0);
    template.hasResourceProperties('AWS::EC2::FlowLog', { ResourceType: 'VPC', TrafficType: 'REJECT' });
    // The only functions of the template are hosts.
    template.resourceCountIs('AWS::Lambda::Function', 0);
  });

  test('a fixed address', () => {
    const { stack, cluster } = newCluster();
    const { Properties } = only(stack, 'AWS::EC2::EIPAssociation');
    expect(Properties).toEqual({
      AllocationId: stack.resolve(cluster.seed.elasticIp.attrAllocationId),
      InstanceId: stack.resolve(cluster.seed.instance.instanceId),
    });
    expect(flat(stack.resolve(cluster.seedEndpoint))).toMatch(/^\$\{ClusterSeedAddress.*\.PublicIp\}:9410$/);
  });

  test('one rule for both ports and no other way in', () => {
    const { stack } = newCluster();
    expect(only(stack, 'AWS::EC2::SecurityGroup').Properties.SecurityGroupIngress).toEqual([
      { CidrIp: '0.0.0.0/0', Description: 'hosts join the cluster', FromPort: 9410, ToPort: 9411, IpProtocol: 'tcp' },
    ]);
    Template.fromStack(stack).resourceCountIs('AWS::EC2::SecurityGroupIngress', 0);
  });

  test('user data runs at every boot and starts the seed with what it needs', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', HOST);
    const userData = flat(only(stack, 'AWS::EC2::Instance').Properties.UserData);
    expect(userData).toContain('cloud_final_modules:\n  - [scripts-user, always]');
    expect(userData).toContain('exec bash /run/imaginary-install.sh');
    expect(userData).toMatch(/--program 's3:\/\/.*\/[0-9a-f]{64}\.js'/);
    expect(userData).toMatch(/--manifest 's3:\/\/.*\/[0-9a-f]{64}\.json'/);
    expect(userData).toMatch(/--key-secret '\$\{ClusterKey.*\}'/);
    expect(userData).toMatch(/--address '\$\{ClusterSeedAddress.*\.PublicIp\}:9410'/);
    expect(userData).toContain("--port '9410'");
    expect(userData).toContain("--data-port '9411'");
    expect(userData).toMatch(/--native 's3:\/\/.*\/[0-9a-f]{64}\.node'/);
    expect(userData).toContain("--region '${AWS::Region}'");
    expect(userData.length).toBeLessThan(16_000);
  });

  test('permissions: its four files, the key, a shell for operators', () => {
    const { stack, cluster } = newCluster();
    const role = stack.resolve((cluster.seed.role.node.defaultChild as iam.CfnRole).logicalId);
    const statements = statementsOf(stack, role);
    expect(statements.flatMap(({ Action }) => Action).sort()).toEqual([
      's3:GetObject',
      's3:GetObject',
      's3:GetObject',
      's3:GetObject',
      'secretsmanager:DescribeSecret',
      'secretsmanager:GetSecretValue',
      'ssm:UpdateInstanceInformation',
      'ssmmessages:CreateControlChannel',
      'ssmmessages:CreateDataChannel',
      'ssmmessages:OpenControlChannel',
      'ssmmessages:OpenDataChannel',
    ]);
    const objects = statements.filter(({ Action }) => Action === 's3:GetObject').map(({ Resource }) => flat(Resource));
    expect(objects).toHaveLength(4);
    for (const arn of objects)
      expect(arn).toMatch(/^arn:\$\{AWS::Partition\}:s3:::.*\/[0-9a-f]{64}\.(sh|js|node|json)$/);
  });
});

describe('overrides', () => {
  test('an x86_64 instance type has an x86_64 image', () => {
    const { stack } = newCluster({ seedInstanceType: new ec2.InstanceType('t3.small') });
    const { Properties } = only(stack, 'AWS::EC2::Instance');
    expect(Properties.InstanceType).toBe('t3.small');
    expect(Template.fromStack(stack).toJSON().Parameters[Properties.ImageId.Ref].Default).toMatch(/-x86_64$/);
  });

  test('port and peers', () => {
    const { stack } = newCluster({
      seedPort: 443,
      seedPeers: [ec2.Peer.ipv4('10.0.0.0/8'), ec2.Peer.ipv4('1.2.3.4/32')],
    });
    const rules = only(stack, 'AWS::EC2::SecurityGroup').Properties.SecurityGroupIngress;
    expect(rules.map((rule: any) => [rule.CidrIp, rule.FromPort, rule.ToPort])).toEqual([
      ['10.0.0.0/8', 443, 444],
      ['1.2.3.4/32', 443, 444],
    ]);
  });

  test('VPC, subnets, security group and role that are brought along', () => {
    const stack = newStack();
    const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 0 });
    const seedSecurityGroup = new ec2.SecurityGroup(stack, 'Group', { vpc });
    const seedRole = new iam.Role(stack, 'Mine', { assumedBy: new iam.ServicePrincipal('ec2.amazonaws.com') });
    const [, second] = vpc.publicSubnets;
    const cluster = new ImaginaryCluster(stack, 'Cluster', {
      vpc,
      vpcSubnets: { subnets: [second] },
      seedSecurityGroup,
      seedRole,
    });
    cluster.addHost('api', HOST);
    const template = Template.fromStack(stack);
    template.resourceCountIs('AWS::EC2::VPC', 1);
    template.resourceCountIs('AWS::EC2::SecurityGroup', 1);
    const [network] = only(stack, 'AWS::EC2::Instance').Properties.NetworkInterfaces;
    expect(network.SubnetId).toEqual(stack.resolve(second.subnetId));
    expect(network.GroupSet).toEqual([stack.resolve(seedSecurityGroup.securityGroupId)]);
    expect(cluster.seed.role).toBe(seedRole);
    const role = stack.resolve((seedRole.node.defaultChild as iam.CfnRole).logicalId);
    expect(statementsOf(stack, role).flatMap(({ Action }) => Action)).toContain('lambda:InvokeFunction');
  });

  test('no Session Manager', () => {
    const { stack } = newCluster({ seedSessionManager: false });
    expect(JSON.stringify(Template.fromStack(stack).toJSON())).not.toContain('ssmmessages');
  });
});

test('the default port can be allowed from elsewhere', () => {
  const { stack, cluster } = newCluster({ seedPeers: [] });
  const group = new ec2.SecurityGroup(stack, 'Vm', { vpc: cluster.seed.vpc });
  cluster.connections.allowDefaultPortFrom(group);
  Template.fromStack(stack).hasResourceProperties('AWS::EC2::SecurityGroupIngress', { FromPort: 9410, ToPort: 9411 });
});
