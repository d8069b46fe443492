import { Duration, Size, Stack, Token } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { HostFunction, type HostOptions, ReleasePolicy } from '../../src';
import { flat, HOST, manifestOf, newCluster, only, statementsOf } from './support';

describe('defaults', () => {
  test('the function', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', { ...HOST });
    const { Properties } = only(stack, 'AWS::Lambda::Function');
    expect(Properties).toMatchObject({
      FunctionName: 'Shop-Cluster-api',
      Runtime: 'nodejs24.x',
      Architectures: ['x86_64'],
      Handler: '/opt/imaginary/handler.handler',
      MemorySize: 1769,
      Timeout: 900,
      ReservedConcurrentExecutions: 1,
      RecursiveLoop: 'Allow',
    });
    expect(Properties.Environment).toBeUndefined();
    expect(Properties.VpcConfig).toBeUndefined();
    expect(Properties.EphemeralStorage).toBeUndefined();
  });

  test('the manifest', () => {
    const { stack, cluster } = newCluster();
    const host = cluster.addHost('api', { ...HOST });
    expect(manifestOf(stack).hosts).toEqual([
      {
        name: 'api',
        aliases: [],
        address: host.virtualAddress,
        kind: 'function',
        functionName: 'Shop-Cluster-api',
        command: ['./run.sh'],
        environment: {},
        workingDirectory: '/var/task',
        memorySize: 1769,
        timeout: 900_000,
        idleTimeout: 60_000,
        releaseTimeout: 600_000,
        allocationTimeout: 30_000,
        settleTime: 1_000,
        release: 'no-connections',
      },
    ]);
  });

  test('the supervisor and the shim are one layer each per architecture and stack', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('a', HOST);
    cluster.addHost('b', HOST);
    cluster.addHost('c', { ...HOST, architecture: lambda.Architecture.ARM_64 });
    const template = Template.fromStack(stack);
    template.resourceCountIs('AWS::Lambda::LayerVersion', 4);
    const layers = (name: string) =>
      only(stack, 'AWS::Lambda::Function', (f) => f.Properties.FunctionName === `Shop-Cluster-${name}`).Properties
        .Layers;
    expect(layers('a')).toHaveLength(2);
    expect(layers('a')).toEqual(layers('b'));
    expect(layers('c')).not.toEqual(layers('a'));
    for (const { Ref } of layers('c')) {
      template.hasResource('AWS::Lambda::LayerVersion', { Properties: { CompatibleArchitectures: ['arm64'] } });
      expect(template.findResources('AWS::Lambda::LayerVersion')[Ref].Properties.CompatibleArchitectures).toEqual([
        'arm64',
      ]);
    }
  });

  test('the role may write the log and nothing else', () => {
    const { stack, cluster } = newCluster();
    const host = cluster.addHost('api', { ...HOST });
    const role = stack.resolve((host.role.node.defaultChild as iam.CfnRole).logicalId);
    expect(statementsOf(stack, role)).toEqual([
      {
        Effect: 'Allow',
        Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: { 'Fn::GetAtt': [expect.stringContaining('apiLog'), 'Arn'] },
      },
    ]);
    expect(
      Template.fromStack(stack).findResources('AWS::IAM::Role')[role].Properties.ManagedPolicyArns,
    ).toBeUndefined();
  });

  test('the log is kept for a month', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', { ...HOST });
    const logGroup = only(stack, 'AWS::Lambda::Function').Properties.LoggingConfig.LogGroup.Ref;
    expect(Template.fromStack(stack).findResources('AWS::Logs::LogGroup')[logGroup].Properties.RetentionInDays).toBe(
      30,
    );
  });
});

describe('overrides', () => {
  test('what the function gets', () => {
    const { stack, cluster } = newCluster();
    const layer = lambda.LayerVersion.fromLayerVersionArn(stack, 'Extra', 'arn:aws:lambda:eu-west-1:1:layer:extra:1');
    cluster.addHost('api', {
      ...HOST,
      memorySize: 512,
      runtime: lambda.Runtime.NODEJS_22_X,
      timeout: Duration.minutes(5),
      ephemeralStorageSize: Size.gibibytes(2),
      reserveConcurrency: false,
      layers: [layer],
    });
    const { Properties } = only(stack, 'AWS::Lambda::Function');
    expect(Properties).toMatchObject({
      MemorySize: 512,
      Runtime: 'nodejs22.x',
      Timeout: 300,
      EphemeralStorage: { Size: 2048 },
    });
    expect(Properties.ReservedConcurrentExecutions).toBeUndefined();
    expect(Properties.Layers).toHaveLength(3);
    expect(Properties.Layers[2]).toBe('arn:aws:lambda:eu-west-1:1:layer:extra:1');
    expect(manifestOf(stack).hosts[0]).toMatchObject({ memorySize: 512, timeout: 300_000 });
  });

  test('what the manifest gets', () => {
    const { stack, cluster } = newCluster();
    const host = cluster.addHost('db', {
      ...HOST,
      command: ['redis-server', '--port', '6379'],
      environment: { MODE: 'test' },
      workingDirectory: '/tmp',
      aliases: ['redis', 'cache'],
      address: '100.64.7.7',
      idleTimeout: Duration.millis(500),
      releaseTimeout: Duration.days(1),
      allocationTimeout: Duration.seconds(5),
      settleTime: Duration.seconds(0),
      releasePolicy: ReleasePolicy.NO_TRAFFIC,
    });
    expect(host.virtualAddress).toBe('100.64.7.7');
    expect(manifestOf(stack).hosts[0]).toMatchObject({
      command: ['redis-server', '--port', '6379'],
      environment: { MODE: 'test' },
      workingDirectory: '/tmp',
      aliases: ['redis', 'cache'],
      address: '100.64.7.7',
      idleTimeout: 500,
      releaseTimeout: 86_400_000,
      allocationTimeout: 5_000,
      settleTime: 0,
      release: 'no-traffic',
    });
  });

  test('a role and a log group that are brought along', () => {
    const { stack, cluster } = newCluster();
    const role = new iam.Role(stack, 'Mine', { assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com') });
    const logGroup = new logs.LogGroup(stack, 'MyLog');
    const host = cluster.addHost('api', { ...HOST, role, logGroup });
    expect(host.role).toBe(role);
    expect(host.logGroup).toBe(logGroup);
    const roleId = stack.resolve((role.node.defaultChild as iam.CfnRole).logicalId);
    const logId = stack.resolve((logGroup.node.defaultChild as logs.CfnLogGroup).logicalId);
    expect(only(stack, 'AWS::Lambda::Function').Properties).toMatchObject({
      Role: { 'Fn::GetAtt': [roleId, 'Arn'] },
      LoggingConfig: { LogGroup: { Ref: logId } },
    });
    expect(statementsOf(stack, roleId)).toEqual([
      expect.objectContaining({
        Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: { 'Fn::GetAtt': [logId, 'Arn'] },
      }),
    ]);
  });

  test('a VPC, its subnets and security groups', () => {
    const { stack, cluster } = newCluster();
    const vpc = new ec2.Vpc(stack, 'Vpc', { maxAzs: 1 });
    const securityGroup = new ec2.SecurityGroup(stack, 'Group', { vpc });
    const host = cluster.addHost('api', {
      ...HOST,
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS },
      securityGroups: [securityGroup],
    });
    host.connections.allowTo(ec2.Peer.ipv4('10.1.2.3/32'), ec2.Port.tcp(5432));
    const { Properties } = only(stack, 'AWS::Lambda::Function');
    expect(Properties.VpcConfig.SecurityGroupIds.map(flat)).toEqual(
      [stack.resolve(securityGroup.securityGroupId)].map(flat),
    );
    const role = stack.resolve((host.role.node.defaultChild as iam.CfnRole).logicalId);
    expect(statementsOf(stack, role).flatMap(({ Action }) => Action)).toContain('ec2:CreateNetworkInterface');
  });

  test('permissions of the guest', () => {
    const { stack, cluster } = newCluster();
    const bucket = new s3.Bucket(stack, 'Bucket');
    const host = cluster.addHost('api', { ...HOST });
    bucket.grantRead(host);
    const role = stack.resolve((host.role.node.defaultChild as iam.CfnRole).logicalId);
    expect(statementsOf(stack, role).flatMap(({ Action }) => Action)).toContain('s3:GetObject*');
  });

  test('a value known only at deployment goes through the function, the others do not', () => {
    const { stack, cluster } = newCluster();
    const bucket = new s3.Bucket(stack, 'Bucket');
    const host = cluster.addHost('api', { ...HOST, environment: { BUCKET: bucket.bucketName, MODE: 'test' } });
    host.addEnvironment('LATER', 'yes').addEnvironment('MODE', 'live');
    expect(only(stack, 'AWS::Lambda::Function').Properties.Environment.Variables).toEqual({
      BUCKET: stack.resolve(bucket.bucketName),
    });
    expect(manifestOf(stack).hosts[0].environment).toEqual({ MODE: 'live', LATER: 'yes' });
  });

  test('the logical ids and the escape hatch', () => {
    const { stack, cluster } = newCluster();
    const host = cluster.addHost('api', { ...HOST });
    (host.lambdaFunction.node.defaultChild as lambda.CfnFunction).addPropertyOverride('TracingConfig.Mode', 'Active');
    Template.fromStack(stack).hasResourceProperties('AWS::Lambda::Function', { TracingConfig: { Mode: 'Active' } });
    expect(host.lambdaFunction.node.path).toBe('Shop/Cluster/api/Function');
  });

  test('a host made by hand is a host of the cluster too', () => {
    const { stack, cluster } = newCluster();
    const host = new HostFunction(stack, 'Api', { ...HOST, cluster, hostName: 'api' });
    expect(cluster.hosts).toEqual([host]);
    expect(manifestOf(stack).hosts.map(({ name }) => name)).toEqual(['api']);
  });
});

test('metrics are those of the function', () => {
  const { stack, cluster } = newCluster();
  const host = cluster.addHost('api', { ...HOST });
  const metrics = [
    host.metricInvocations(),
    host.metricDuration(),
    host.metricErrors(),
    host.metricThrottles(),
    host.metric('ConcurrentExecutions'),
  ];
  expect(metrics.map((metric) => [metric.namespace, metric.metricName, metric.statistic])).toEqual([
    ['AWS/Lambda', 'Invocations', 'Sum'],
    ['AWS/Lambda', 'Duration', 'Average'],
    ['AWS/Lambda', 'Errors', 'Sum'],
    ['AWS/Lambda', 'Throttles', 'Sum'],
    ['AWS/Lambda', 'ConcurrentExecutions', 'Average'],
  ]);
  expect(stack.resolve(metrics[0].dimensions)).toEqual({
    FunctionName: { Ref: expect.stringContaining('apiFunction') },
  });
});

describe('what cannot work is refused', () => {
  const token = Token.asString({ Ref: 'Something' });
  const cases: Array<[string, string, Partial<HostOptions>, string]> = [
    ['a name with capitals', 'Api', {}, "Shop/Cluster: the name of a host is 'Api'; allowed: 1-63 lower-case letters"],
    ['a name with an underscore', 'a_b', {}, "the name of a host is 'a_b'; allowed: 1-63 lower-case letters"],
    ['a name that ends in a hyphen', 'api-', {}, "the name of a host is 'api-'; allowed: 1-63 lower-case letters"],
    ['a name that the cluster uses', 'node-1', {}, "the name of a host is 'node-1', which the cluster uses itself"],
    ['a name known at deployment', token, {}, 'the name of a host is known only at deployment'],
    ['a bad alias', 'api', { aliases: ['ok', 'No'] }, "Shop/Cluster/api: aliases[1] is 'No'; allowed: 1-63 lower-case"],
    ['an alias twice', 'api', { aliases: ['x', 'x'] }, "the name 'x' of host 'api' is taken by host 'api'"],
    ['an alias that is its name', 'api', { aliases: ['api'] }, "the name 'api' of host 'api' is taken by host 'api'"],
    [
      'an alias of another host',
      'api',
      { aliases: ['first'] },
      "the name 'first' of host 'api' is taken by host 'first'",
    ],
    ['a name taken by an alias', 'uno', {}, "the name 'uno' of host 'uno' is taken by host 'first'; choose another"],
    [
      'the name of another host',
      'first',
      {},
      "the name 'first' of host 'first' is taken by host 'first'; choose another",
    ],
    [
      'a function name beyond 64 characters',
      'a'.repeat(60),
      {},
      "(73 characters); a function name has at most 64 characters and consists of the cluster's name and the host's: shorten the host's name to 51 characters, or set a shorter 'clusterName'",
    ],
    ['no command', 'api', { command: [] }, 'command is []; its first element must name the program that the host runs'],
    ['an empty program', 'api', { command: [''] }, 'command is [""]; its first element must name the program'],
    [
      'a command known at deployment',
      'api',
      { command: ['run', token] },
      "command[1] is known only at deployment, but is part of the manifest, which is written at synthesis; pass the value in 'environment'",
    ],
    ['a command list known at deployment', 'api', { command: Token.asList({ Ref: 'X' }) }, 'command is known only at'],
    [
      'too little memory',
      'api',
      { memorySize: 64 },
      'memorySize is 64; allowed: a whole number of MB from 128 to 10240',
    ],
    [
      'too much memory',
      'api',
      { memorySize: 10_241 },
      'memorySize is 10241; allowed: a whole number of MB from 128 to',
    ],
    [
      'half an MB',
      'api',
      { memorySize: 512.5 },
      'memorySize is 512.5; allowed: a whole number of MB from 128 to 10240',
    ],
    ['memory known at deployment', 'api', { memorySize: Token.asNumber({ Ref: 'X' }) }, 'memorySize is known only at'],
    [
      'a timeout above 15 minutes',
      'api',
      { timeout: Duration.seconds(901) },
      'timeout is 901 s; allowed: a whole number of seconds, 1 s to 900 s',
    ],
    [
      'a timeout of half a second',
      'api',
      { timeout: Duration.millis(500) },
      'timeout is 0.5 s; allowed: a whole number',
    ],
    [
      'a timeout of one and a half',
      'api',
      { timeout: Duration.millis(1500) },
      'timeout is 1.5 s; allowed: a whole number',
    ],
    [
      'a timeout known at deployment',
      'api',
      { timeout: Duration.seconds(Token.asNumber({ Ref: 'X' })) },
      'timeout is known only at deployment',
    ],
    [
      'an idle timeout of nothing',
      'api',
      { idleTimeout: Duration.seconds(0) },
      'idleTimeout is 0 s; allowed: 0.1 s or more',
    ],
    [
      'a release timeout of nothing',
      'api',
      { releaseTimeout: Duration.millis(99) },
      'releaseTimeout is 0.099 s; allowed: 0.1 s or more',
    ],
    [
      'a long allocation timeout',
      'api',
      { allocationTimeout: Duration.hours(1) },
      'allocationTimeout is 3600 s; allowed: 0.1 s to 900 s',
    ],
    ['a long settle time', 'api', { settleTime: Duration.hours(1) }, 'settleTime is 3600 s; allowed: 0 s to 900 s'],
    [
      'a relative directory',
      'api',
      { workingDirectory: 'app' },
      "workingDirectory is 'app'; allowed: an absolute path",
    ],
    [
      'a directory known at deployment',
      'api',
      { workingDirectory: token },
      'workingDirectory is known only at deployment',
    ],
    [
      'an address outside the block',
      'api',
      { address: '10.0.0.1' },
      "address is '10.0.0.1'; allowed: an IPv4 address from 100.64.0.2 to 100.64.254.255",
    ],
    ['the network address', 'api', { address: '100.64.0.0' }, "address is '100.64.0.0'; allowed: an IPv4 address from"],
    ['no address at all', 'api', { address: 'here' }, "address is 'here'; allowed: an IPv4 address from 100.64.0.2"],
    ['an address known at deployment', 'api', { address: token }, 'address is known only at deployment'],
    [
      'a Python runtime',
      'api',
      { runtime: lambda.Runtime.PYTHON_3_12 },
      "runtime is 'python3.12'; allowed: a Node.js runtime, 20 or newer",
    ],
    [
      'an old Node.js runtime',
      'api',
      { runtime: lambda.Runtime.NODEJS_18_X },
      "runtime is 'nodejs18.x'; allowed: a Node.js",
    ],
    [
      'an unknown runtime',
      'api',
      { runtime: new lambda.Runtime('cobol1') },
      "runtime is 'cobol1'; allowed: a Node.js runtime",
    ],
  ];

  test.each(cases)('%s', (_, name, options, message) => {
    const { cluster } = newCluster();
    cluster.addHost('first', { ...HOST, aliases: ['uno'] });
    let error: unknown;
    try {
      cluster.addHost(name, { ...HOST, ...options });
    } catch (thrown) {
      error = thrown;
    }
    expect((error as Error)?.message).toContain(message);
  });

  test('a host in another stack than its cluster', () => {
    const { app, cluster } = newCluster();
    const other = new Stack(app, 'Other');
    expect(() => new HostFunction(other, 'api', { ...HOST, cluster })).toThrow(
      "Other/api: the host belongs to stack 'Other', its cluster to 'Shop'; define both in one stack",
    );
  });

  test('two hosts at one pinned address', () => {
    const { app, cluster } = newCluster();
    cluster.addHost('a', { ...HOST, address: '100.64.1.1' });
    cluster.addHost('b', { ...HOST, address: '100.64.1.1' });
    expect(() => app.synth()).toThrow(
      "[Shop/Cluster] hosts 'a' and 'b' both map to the virtual address 100.64.1.1; give 'b' one of its own: address: '100.64.1.2'",
    );
  });

  test('an environment variable that cannot exist', () => {
    const { app, cluster } = newCluster();
    cluster.addHost('api', { ...HOST, environment: { 'A=B': 'c' } });
    expect(() => app.synth()).toThrow(/\[Shop\/Cluster\] .*\n.*hosts\.0\.environment.*a variable name without '='/);
  });
});
