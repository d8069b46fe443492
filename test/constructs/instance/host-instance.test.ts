import { Duration, Lazy } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as autoscaling from 'aws-cdk-lib/aws-autoscaling';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { type InstanceMachineOptions, type InstanceOptions, Ready } from '../../../src';
import { INSTANCE_CONTAINER, INSTANCE_MACHINE } from '../../../src/constructs/private/shape';
import { type Fixture, flat, HOST, manifestOf, newCluster, statementsOf } from '../support';

const COMMAND = ['postgres', '-D', '/var/lib/pgsql/data'];

function machineIn({ stack }: Fixture, more: Partial<ec2.InstanceProps> = {}): ec2.Instance {
  const vpc = new ec2.Vpc(stack, 'Vpc', { maxAzs: 1 });
  return new ec2.Instance(stack, 'Machine', {
    vpc,
    instanceType: new ec2.InstanceType('t4g.micro'),
    machineImage: ec2.MachineImage.latestAmazonLinux2023(),
    ...more,
  });
}

const userDataOf = ({ stack }: Fixture) =>
  Object.entries(Template.fromStack(stack).findResources('AWS::EC2::Instance'))
    .filter(([id]) => id.startsWith('Machine'))
    .map(([, { Properties }]) => flat(Properties.UserData))[0];

describe('in the manifest', () => {
  test('an instance has its defaults, and its address follows from its name', () => {
    const { stack, cluster } = newCluster();
    const db = cluster.addInstance('db');
    const [host] = manifestOf(stack).hosts;
    expect(host).toMatchObject({
      name: 'db',
      kind: 'instance',
      aliases: [],
      allocationTimeout: 30_000,
      stopTimeout: 2_000,
    });
    expect(host.address).toBe(db.virtualAddress);
    expect([host.command, host.functionName, host.workingDirectory]).toEqual([undefined, undefined, undefined]);
    Template.fromStack(stack).resourceCountIs('AWS::Lambda::Function', 0);
  });

  test('every option', () => {
    const { stack, cluster } = newCluster();
    cluster.addHost('api', HOST);
    const db = cluster.addInstance('db', {
      command: COMMAND,
      environment: { PGPORT: '5432' },
      workingDirectory: '/srv',
      remappedFiles: { '/etc/app': '/srv/app' },
      allocationTimeout: Duration.minutes(5),
      settleTime: Duration.seconds(2),
      readyWhen: Ready.command(['pg_isready']),
      livenessCommand: ['pg_isready'],
      livenessInterval: Duration.seconds(20),
      onDrain: ['drain'],
      onRelease: ['save'],
      drainTimeout: Duration.seconds(3),
      stopTimeout: Duration.seconds(30),
      aliases: ['postgres'],
      address: '100.64.0.9',
    });
    cluster.addHost('web', HOST);
    const { hosts } = manifestOf(stack);
    // The number of a host follows from its place.
    expect(hosts.map(({ name }) => name)).toEqual(['api', 'db', 'web']);
    expect(hosts[1]).toMatchObject({
      ...{ name: 'db', kind: 'instance', aliases: ['postgres'], address: '100.64.0.9', command: COMMAND },
      ...{ environment: { PGPORT: '5432' }, workingDirectory: '/srv', remappedFiles: { '/etc/app': '/srv/app' } },
      ...{ allocationTimeout: 300_000, settleTime: 2_000, livenessCommand: ['pg_isready'], livenessInterval: 20_000 },
      readyWhen: { kind: 'command', command: ['pg_isready'], interval: 250, timeout: 5_000 },
      ...{ onDrain: ['drain'], onRelease: ['save'], drainTimeout: 3_000, stopTimeout: 30_000 },
    });
    expect([cluster.instances, cluster.hosts.map(({ hostName }) => hostName)]).toEqual([[db], ['api', 'web']]);
  });

  test.each<[InstanceOptions, string]>([
    [{ command: [] }, 'command is []; its first element must name the program'],
    [{ command: [Lazy.string({ produce: () => 'x' })] }, 'command[0] is known only at deployment'],
    [{ environment: { A: Lazy.string({ produce: () => 'x' }) } }, "environment['A'] is known only at deployment"],
    [{ workingDirectory: 'srv' }, "workingDirectory is 'srv'; allowed: an absolute path, like '/srv/app'"],
    [{ workingDirectory: Lazy.string({ produce: () => '/x' }) }, 'workingDirectory is known only at deployment'],
    [{ remappedFiles: { etc: '/srv' } }, "remappedFiles names 'etc'"],
    [{ allocationTimeout: Duration.millis(1) }, 'allocationTimeout is 0.001 s; allowed: 0.1 s to 900 s'],
    [{ settleTime: Duration.minutes(16) }, 'settleTime is 960 s; allowed: 0 s to 900 s'],
    [{ livenessCommand: [''] }, 'livenessCommand is [""]'],
    [{ livenessInterval: Duration.millis(1) }, 'livenessInterval is 0.001 s'],
    [{ onDrain: [] }, 'onDrain is []'],
    [{ onRelease: [] }, 'onRelease is []'],
    [{ drainTimeout: Duration.minutes(6) }, 'drainTimeout is 360 s; allowed: 0.1 s to 300 s'],
    [{ stopTimeout: Duration.minutes(6) }, 'stopTimeout is 360 s; allowed: 0 s to 300 s'],
    [{ aliases: ['Not a name'] }, "aliases[0] is 'Not a name'"],
    [{ address: '10.0.0.1' }, "address is '10.0.0.1'; allowed: an IPv4 address from 100.64"],
  ])('%j is refused', (options, message) => {
    const { cluster } = newCluster();
    expect(() => cluster.addInstance('db', options)).toThrow(message);
  });

  test('a name is taken once', () => {
    const { cluster } = newCluster();
    cluster.addHost('db', HOST);
    expect(() => cluster.addInstance('db')).toThrow("the name 'db' of host 'db' is taken by host 'db'");
  });
});

describe('on an EC2 instance', () => {
  test('user data installs the package and a unit; the role reads the key and the package, and nothing else', () => {
    const fixture = newCluster();
    const { stack, cluster } = fixture;
    const machine = machineIn(fixture);
    cluster.addInstance('db', { command: COMMAND, stopTimeout: Duration.seconds(30) }).runOnInstance(machine);
    const script = userDataOf(fixture);
    const [download, install] = script.split('\n').filter((line) => line !== '#!/bin/bash');
    expect(download).toMatch(
      /^until aws s3 cp --region '\$\{AWS::Region\}' 's3:\/\/cdk-[^']+\.sh' \/run\/imaginary-db-install\.sh; do sleep 5; done$/,
    );
    expect(install).toBe('bash /run/imaginary-db-install.sh \\');
    expect(script).toMatch(/--seed '\$\{ClusterSeedAddress\w+\.PublicIp\}:9410' \\\n {2}--key '\$\{ClusterKey\w+\}'/);
    expect(script).toMatch(/--user 'ec2-user' \\\n {2}--stop '50' \\\n {2}--name 'db'$/);
    const role = stack.resolve((machine.role as any).roleName).Ref;
    const statements = statementsOf(stack, role);
    expect(statements.map(({ Action }) => Action)).toEqual([
      ...Array.from({ length: 6 }, () => 's3:GetObject'),
      ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
    ]);
    for (const { Resource } of statements) expect(JSON.stringify(Resource)).not.toContain('*');
    Template.fromStack(stack).hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
      Description: 'host db joins the cluster',
      FromPort: 9410,
      ToPort: 9411,
    });
    expect(manifestOf(stack).hosts).toHaveLength(1);
  });

  test('hosts of one stack share the files', () => {
    const fixture = newCluster();
    const machine = machineIn(fixture);
    for (const name of ['one', 'two']) fixture.cluster.addInstance(name, { command: ['x'] }).runOnInstance(machine);
    const script = userDataOf(fixture);
    const files = [...script.matchAll(/--cli '([^']+)'/g)].map(([, file]) => file);
    expect(files).toHaveLength(2);
    expect(new Set(files).size).toBe(1);
  });

  test('what it waits for, as another user, with a second seed', () => {
    const fixture = newCluster({ seedStandby: true });
    const options = { user: 'postgres', waitFor: ['api', 'cache'], waitTimeout: Duration.minutes(5) };
    fixture.cluster.addInstance('db', { command: COMMAND }).runOnInstance(machineIn(fixture), options);
    const script = userDataOf(fixture);
    expect(script).toContain("--user 'postgres'");
    expect(script).toMatch(
      /--name 'db' \\\n {2}--standby '\$\{ClusterSeedStandbyAddress\w+\.PublicIp\}:9410' \\\n {2}--wait 'api,cache' \\\n {2}--wait-timeout '300'$/,
    );
  });

  test.each<[InstanceMachineOptions, string]>([
    [{ user: 'Not a user' }, "user is 'Not a user'; allowed: the name of a user, like 'ec2-user'"],
    [{ user: Lazy.string({ produce: () => 'x' }) }, 'user is known only at deployment'],
    [{ waitForCount: 0 }, 'waitForCount is 0; allowed: a whole number of hosts from 1 to 65535'],
    [{ waitForCount: 2, waitFor: ['api'] }, "waitForCount is set beside 'waitFor'; allowed: one of them"],
    [{ waitFor: [] }, 'waitFor is []; allowed: the names of hosts'],
    [{ waitFor: ['No'] }, "waitFor[0] is 'No'"],
    [{ waitTimeout: Duration.seconds(5) }, "waitTimeout is set without 'waitFor' and 'waitForCount'"],
    [{ waitForCount: 2, waitTimeout: Duration.millis(5) }, 'waitTimeout is 0.005 s; allowed: 1 s to 86400 s'],
  ])('%j is refused', (options, message) => {
    const fixture = newCluster();
    const db = fixture.cluster.addInstance('db', { command: COMMAND });
    expect(() => db.runOnInstance(machineIn(fixture), options)).toThrow(message);
  });

  const wrong = Object.entries(INSTANCE_MACHINE).map(([name, { allowed }]) => [name, allowed]);
  test.each(wrong)('%s of another kind is refused', (name, allowed) => {
    const fixture = newCluster();
    const db = fixture.cluster.addInstance('db', { command: COMMAND });
    const act = () => db.runOnInstance(machineIn(fixture), { [name]: Symbol('s') } as any);
    expect(act).toThrow(`${name} of machine 'Shop/Machine' is a symbol; allowed: ${allowed}`);
  });

  test('without a command, and on Windows', () => {
    const fixture = newCluster();
    const machine = machineIn(fixture, {
      machineImage: ec2.MachineImage.latestWindows(ec2.WindowsVersion.WINDOWS_SERVER_2022_ENGLISH_FULL_BASE),
    });
    expect(() => fixture.cluster.addInstance('a', { command: COMMAND }).runOnInstance(machine)).toThrow(
      "the machine 'Shop/Machine' runs Windows; allowed: Amazon Linux 2023",
    );
    const other = newCluster();
    expect(() => other.cluster.addInstance('b').runOnInstance(machineIn(other))).toThrow(
      "command is missing, and the machine 'Shop/Machine' runs the host; set it in addInstance",
    );
  });
});

function groupIn({ stack }: Fixture, maxCapacity: number): autoscaling.AutoScalingGroup {
  return new autoscaling.AutoScalingGroup(stack, 'Group', {
    vpc: new ec2.Vpc(stack, 'Vpc', { maxAzs: 1 }),
    instanceType: new ec2.InstanceType('t4g.micro'),
    machineImage: ec2.MachineImage.latestAmazonLinux2023(),
    minCapacity: 1,
    maxCapacity,
  });
}

test('on an auto scaling group of one machine', () => {
  const fixture = newCluster();
  const { stack, cluster } = fixture;
  cluster.addInstance('db', { command: COMMAND }).runOnAutoScalingGroup(groupIn(fixture, 1));
  const [template] = Object.values(Template.fromStack(stack).findResources('AWS::AutoScaling::LaunchConfiguration'));
  expect(flat(template.Properties.UserData)).toContain("--name 'db'");
  const many = newCluster();
  const db = many.cluster.addInstance('db', { command: COMMAND });
  expect(() => db.runOnAutoScalingGroup(groupIn(many, 2))).toThrow(
    "the maxCapacity of 'Shop/Group' is 2; allowed: 1, as a host is one machine",
  );
});

describe('in a task of ECS', () => {
  const image = ecs.ContainerImage.fromRegistry('postgres');
  const taskIn = ({ stack }: Fixture) => new ecs.FargateTaskDefinition(stack, 'Task');

  test('the entry point joins, the command is the guest, the key is a secret of the task', () => {
    const fixture = newCluster();
    const { stack, cluster } = fixture;
    const db = cluster.addInstance('db');
    db.addToTaskDefinition(taskIn(fixture), 'Db', {
      container: { image, command: COMMAND, environment: { PGDATA: '/data' } },
      waitForCount: 2,
    });
    Template.fromStack(stack).hasResourceProperties('AWS::ECS::TaskDefinition', {
      ContainerDefinitions: [
        Match.objectLike({
          Name: 'Db',
          EntryPoint: ['imaginary', 'join', '--seed', Match.anyValue(), '--name', 'db', '--wait', '2', '--'],
          Command: COMMAND,
          Environment: [{ Name: 'PGDATA', Value: '/data' }],
          Secrets: [{ Name: 'IMAGINARY_KEY', ValueFrom: { Ref: Match.stringLikeRegexp('ClusterKey') } }],
        }),
      ],
    });
    const [task] = Object.values(Template.fromStack(stack).findResources('AWS::ECS::TaskDefinition'));
    expect(flat(task.Properties.ContainerDefinitions[0].EntryPoint[3])).toMatch(
      /^\$\{ClusterSeedAddress\w+\.PublicIp\}:9410$/,
    );
  });

  test('the command of the manifest, and another program', () => {
    const fixture = newCluster();
    const db = fixture.cluster.addInstance('db', { command: COMMAND });
    const program = ['node', '/opt/imaginary.js'];
    const container = db.addToTaskDefinition(taskIn(fixture), 'Db', { container: { image }, program });
    expect(container.containerName).toBe('Db');
    const [task] = Object.values(Template.fromStack(fixture.stack).findResources('AWS::ECS::TaskDefinition'));
    expect(task.Properties.ContainerDefinitions[0].EntryPoint.slice(0, 3)).toEqual([...program, 'join']);
  });

  test('an entry point of its own, no command, no container', () => {
    const fixture = newCluster();
    const db = fixture.cluster.addInstance('db');
    const task = taskIn(fixture);
    const add = (options: any) => () => db.addToTaskDefinition(task, 'Db', options);
    expect(add({ container: { image, entryPoint: ['x'] } })).toThrow(
      'entryPoint of container \'Db\' is ["x"]; allowed: none',
    );
    expect(add({ container: { image } })).toThrow("command is missing, and container 'Db' runs the host");
    expect(add({})).toThrow(
      `container of container 'Db' is missing; required: ${INSTANCE_CONTAINER.container.allowed}`,
    );
    for (const [name, { allowed }] of Object.entries(INSTANCE_CONTAINER)) {
      expect(add({ container: { image, command: ['x'] }, [name]: Symbol('s') })).toThrow(
        `${name} of container 'Db' is a symbol; allowed: ${allowed}`,
      );
    }
  });
});

test('grantJoin lets a principal read the key', () => {
  const { stack, cluster } = newCluster();
  const machine = machineIn({ stack } as Fixture);
  cluster.addInstance('db').grantJoin(machine);
  const role = stack.resolve((machine.role as any).roleName).Ref;
  expect(statementsOf(stack, role)).toHaveLength(1);
});

test('AwsSolutions finds nothing that the library adds', () => {
  const fixture = newCluster();
  const { stack, cluster } = fixture;
  const machine = machineIn(fixture, {
    detailedMonitoring: true,
    blockDevices: [],
    propagateTagsToVolumeOnCreation: true,
  });
  const before = findings(stack);
  cluster.addInstance('db', { command: COMMAND }).runOnInstance(machine);
  expect(findings(stack)).toEqual(before);
});

function findings(stack: Fixture['stack']): string[] {
  const { violations } = new AwsSolutionsChecks().validateScope(stack);
  return violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map(({ constructPath }) => `${ruleName}: ${constructPath}`),
  );
}
