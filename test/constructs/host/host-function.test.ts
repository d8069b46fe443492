import { Duration, Size } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { HostFunction, Ready, ReleasePolicy, RestartPolicy, StartBarrier } from '../../../src';
import { guestEnvironment } from '../../../src/runtime/supervisor/guest/environment';
import { flat, HOST, manifestOf, newCluster, only, statementsOf } from '../support';

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
      RecursiveLoop: 'Allow',
    });
    expect(Properties.ReservedConcurrentExecutions).toBeUndefined();
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
        pooled: false,
        command: ['./run.sh'],
        environment: {},
        workingDirectory: '/var/task',
        remappedFiles: {},
        memorySize: 1769,
        timeout: 900_000,
        idleTimeout: 60_000,
        releaseTimeout: 600_000,
        allocationTimeout: 30_000,
        settleTime: 1_000,
        releasePolicy: 'no-traffic',
        restartPolicy: 'never',
        startWith: [],
        connectsTo: [],
        prefetch: true,
        readyWhen: { kind: 'listening' },
        livenessInterval: 10_000,
        drainTimeout: 10_000,
        stopTimeout: 2_000,
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
    const layer = lambda.LayerVersion.fromLayerVersionArn(
      stack,
      'Extra',
      'arn:aws:lambda:eu-west-1:111122223333:layer:extra:1',
    );
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
    expect(Properties.Layers[2]).toBe('arn:aws:lambda:eu-west-1:111122223333:layer:extra:1');
    expect(manifestOf(stack).hosts[0]).toMatchObject({ memorySize: 512, timeout: 300_000 });
  });

  test('what the manifest gets', () => {
    const { stack, cluster } = newCluster();
    const host = cluster.addHost('db', {
      ...HOST,
      command: ['redis-server', '--port', '6379'],
      environment: { MODE: 'test' },
      workingDirectory: '/tmp',
      remappedFiles: { '/etc/redis': '/var/task/redis', '/.well-known/..a': '/tmp/a' },
      aliases: ['redis', 'cache'],
      address: '100.64.7.7',
      idleTimeout: Duration.millis(500),
      releaseTimeout: Duration.days(1),
      allocationTimeout: Duration.seconds(5),
      settleTime: Duration.seconds(0),
      releasePolicy: ReleasePolicy.NO_CONNECTIONS,
      restartPolicy: RestartPolicy.ON_FAILURE,
      startWith: ['queue'],
      connectsTo: ['queue'],
      prefetch: false,
      startBarrier: StartBarrier.hosts(['queue'], { timeout: Duration.millis(1_500) }),
      wakeSchedule: events.Schedule.cron({ minute: '0', hour: '8', weekDay: 'MON-FRI' }),
      readyWhen: Ready.command(['redis-cli', 'ping'], { interval: Duration.millis(100), timeout: Duration.seconds(1) }),
      livenessCommand: ['redis-cli', 'ping'],
      livenessInterval: Duration.seconds(30),
      onDrain: ['redis-cli', 'bgsave'],
      onRelease: ['redis-cli', 'save'],
      drainTimeout: Duration.minutes(5),
      stopTimeout: Duration.seconds(0),
    });
    const wakeSchedule = events.Schedule.rate(Duration.minutes(5));
    const startBarrier = StartBarrier.count(2);
    cluster.addHost('queue', { ...HOST, restartPolicy: RestartPolicy.ALWAYS, wakeSchedule, startBarrier });
    expect(host.virtualAddress).toBe('100.64.7.7');
    expect(manifestOf(stack).hosts[0]).toMatchObject({
      command: ['redis-server', '--port', '6379'],
      environment: { MODE: 'test' },
      workingDirectory: '/tmp',
      remappedFiles: { '/etc/redis': '/var/task/redis', '/.well-known/..a': '/tmp/a' },
      aliases: ['redis', 'cache'],
      address: '100.64.7.7',
      idleTimeout: 500,
      releaseTimeout: 86_400_000,
      allocationTimeout: 5_000,
      settleTime: 0,
      releasePolicy: 'no-connections',
      restartPolicy: 'on-failure',
      startWith: ['queue'],
      connectsTo: ['queue'],
      prefetch: false,
      startBarrier: { hosts: ['queue'], timeout: 1_500 },
      wakeSchedule: 'cron(0 8 ? * MON-FRI *)',
      readyWhen: { kind: 'command', command: ['redis-cli', 'ping'], interval: 100, timeout: 1_000 },
      livenessCommand: ['redis-cli', 'ping'],
      livenessInterval: 30_000,
      onDrain: ['redis-cli', 'bgsave'],
      onRelease: ['redis-cli', 'save'],
      drainTimeout: 300_000,
      stopTimeout: 0,
    });
    expect(manifestOf(stack).hosts[1]).toMatchObject({
      restartPolicy: 'always',
      startBarrier: { count: 2, timeout: 60_000 },
      wakeSchedule: 'rate(5 minutes)',
    });
  });

  test.each<[string, Ready, object]>([
    ['listening', Ready.listening(), { kind: 'listening' }],
    ['a command', Ready.command(['true']), { kind: 'command', command: ['true'], interval: 250, timeout: 5_000 }],
    ['HTTP', Ready.http('/up'), { kind: 'http', path: '/up', interval: 250, timeout: 5_000 }],
    [
      'HTTP, with all there is',
      Ready.http('/up', { port: 81, interval: Duration.seconds(1), timeout: Duration.seconds(2) }),
      { kind: 'http', path: '/up', port: 81, interval: 1_000, timeout: 2_000 },
    ],
    ['a line of the log', Ready.log('ready to accept'), { kind: 'log', pattern: 'ready to accept' }],
  ])('ready by %s', (_by, readyWhen, rule) => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', { ...HOST, readyWhen });
    expect(manifestOf(stack).hosts[0].readyWhen).toEqual(rule);
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
    expect(manifestOf(stack).hosts[0].environment).toEqual({
      MODE: 'live',
      LATER: 'yes',
      IMAGINARY_PASS_ENV: 'BUCKET',
    });
    // What the supervisor makes of it at run time.
    const [{ name, environment }] = manifestOf(stack).hosts;
    const guest = guestEnvironment(name, environment, { BUCKET: 'real-name', AWS_SECRET_ACCESS_KEY: 'secret' });
    expect(guest).toMatchObject({ BUCKET: 'real-name', MODE: 'live', LATER: 'yes' });
    expect(Object.keys(guest)).not.toEqual(expect.arrayContaining(['AWS_SECRET_ACCESS_KEY']));
  });

  test('the guest gets credentials when it is said, besides what the host names itself', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', { ...HOST, passCredentials: true, environment: { IMAGINARY_PASS_ENV: 'AWS_LAMBDA_*' } });
    const [{ name, environment }] = manifestOf(stack).hosts;
    const given = {
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_SESSION_TOKEN: 'token',
      AWS_LAMBDA_FUNCTION_NAME: 'function',
    };
    expect(guestEnvironment(name, environment, { ...given, OTHER: 'x' })).toMatchObject(given);
    expect(guestEnvironment(name, environment, { ...given, OTHER: 'x' })).not.toHaveProperty('OTHER');
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
