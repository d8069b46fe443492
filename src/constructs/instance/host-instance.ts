import { Stack, Token } from 'aws-cdk-lib';
import type * as autoscaling from 'aws-cdk-lib/aws-autoscaling';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { formatAddress, type HOST_LIMITS, type ManifestHost } from '../../contract/manifest';
import type { ImaginaryCluster } from '../cluster/imaginary-cluster';
import * as check from '../private/checks';
import { checkWorkingDirectory, hostTime, ownCommand, readyRule } from '../private/guest-entry';
import { InstanceFiles } from '../private/instance-files';
import { checkShape, HOST_INSTANCE, INSTANCE_CONTAINER, INSTANCE_MACHINE } from '../private/shape';
import type {
  InstanceContainerOptions,
  InstanceMachineOptions,
  InstanceOptions,
  InstanceRunOptions,
} from './instance-options';

/** Properties of a HostInstance. */
export interface HostInstanceProps extends InstanceOptions {
  /** The cluster that the host belongs to. */
  readonly cluster: ImaginaryCluster;

  /**
   * The name that the cluster's other hosts reach this one by.
   *
   * @default - the construct's id
   */
  readonly hostName?: string;
}

/** The variable that `imaginary join` has the cluster key from. */
const KEY_VARIABLE = 'IMAGINARY_KEY';
const WAIT_TIMEOUT = { low: 1_000, high: 86_400_000, unit: 'milliseconds', default: 60_000 };
/** Beyond the host's own times, until systemd kills what is left: seconds. */
const STOP_MARGIN = 10;

/**
 * One host of a cluster that joins by itself: on an EC2 instance, in a container, on a laptop. It is one machine: a second one that joins
 * under the name is refused for as long as the first is connected.
 *
 * Usually made by `ImaginaryCluster.addInstance`.
 */
export class HostInstance extends Construct {
  /** The host's name in the cluster. */
  public readonly hostName: string;

  /** Further names that resolve to this host. */
  public readonly aliases: string[];

  private readonly cluster: ImaginaryCluster;
  private readonly entry: Record<string, unknown>;

  constructor(scope: Construct, id: string, props: HostInstanceProps) {
    super(scope, id);
    checkShape(this, '', props, HOST_INSTANCE);
    this.cluster = props.cluster;
    this.hostName = props.hostName ?? id;
    this.aliases = [...(props.aliases ?? [])];
    check.checkHostName(this, props.hostName === undefined ? 'the host name (the id)' : 'hostName', this.hostName);
    for (const [i, alias] of this.aliases.entries()) check.checkHostName(this, `aliases[${i}]`, alias);
    this.entry = this.checkedEntry(props);
    this.cluster._registerInstance(this, props.address);
  }

  /** The host's virtual address, the same whether it has joined or not. */
  public get virtualAddress(): string {
    return formatAddress(this.cluster._addressOf(this.hostName));
  }

  /**
   * Lets a principal read the cluster key, which is what joining takes.
   *
   * @param grantee who may join, for example an EC2 instance's role
   */
  public grantJoin(grantee: iam.IGrantable): iam.Grant {
    return this.cluster.grantJoin(grantee);
  }

  /**
   * Runs the host on an EC2 instance with Amazon Linux 2023: its user data installs Node.js and this package, and a systemd unit that
   * joins the cluster. Its role may then read the cluster key and the package.
   *
   * @param instance the machine; the guest's program has to be on it
   * @param options how the host is run there
   * @throws Error without a `command`, on Windows, and in another stack's seed
   */
  public runOnInstance(instance: ec2.Instance, options: InstanceMachineOptions = {}): void {
    this.install(instance.osType, instance, instance.userData, options);
  }

  /**
   * Runs the host on the instance of an auto scaling group, as `runOnInstance` does. A group replaces a machine that has failed. It may
   * have one machine at most: a host is one machine.
   *
   * @param group the group; its `maxCapacity` has to be 1
   * @param options how the host is run there
   */
  public runOnAutoScalingGroup(group: autoscaling.AutoScalingGroup, options: InstanceMachineOptions = {}): void {
    const { maxSize } = group.node.defaultChild as autoscaling.CfnAutoScalingGroup;
    if (!Token.isUnresolved(maxSize) && maxSize !== '1') {
      check.refuse(this, `the maxCapacity of '${group.node.path}' is ${maxSize}; allowed: 1, as a host is one machine`);
    }
    this.install(group.osType, group, group.userData, options);
  }

  /**
   * Adds a container to a task definition that is this host: its entry point is `imaginary join`, and its command is the guest's. ECS puts
   * the cluster key into its environment, from where the guest does not get it. A service with this task definition may have one task.
   *
   * @param taskDefinition the task
   * @param id the container's id, and its name
   * @param options the container, and how the host is run in it
   */
  public addToTaskDefinition(
    taskDefinition: ecs.TaskDefinition,
    id: string,
    options: InstanceContainerOptions,
  ): ecs.ContainerDefinition {
    checkShape(this, ` of container '${id}'`, options, INSTANCE_CONTAINER);
    const { container, program = ['imaginary'] } = options;
    if (container.entryPoint) {
      const what = `entryPoint of container '${id}' is ${JSON.stringify(container.entryPoint)}`;
      check.refuse(this, `${what}; allowed: none, as the entry point joins the cluster; give the guest as 'command'`);
    }
    if (!container.command?.length) this.requireCommand(`container '${id}'`);
    const join = [...program, 'join', '--seed', this.cluster.seedEndpoint, ...this.joinArguments(options)];
    return taskDefinition.addContainer(id, {
      ...container,
      entryPoint: [...join, '--'],
      secrets: { ...container.secrets, [KEY_VARIABLE]: ecs.Secret.fromSecretsManager(this.cluster.clusterKey) },
    });
  }

  /**
   * The host's entry in the manifest.
   *
   * @internal
   */
  public _manifestHost(address: number): object {
    return { ...this.entry, address: formatAddress(address) };
  }

  private install(
    system: ec2.OperatingSystemType,
    machine: iam.IGrantable & ec2.IConnectable & Construct,
    userData: ec2.UserData,
    options: InstanceMachineOptions,
  ): void {
    const where = `'${machine.node.path}'`;
    checkShape(this, ` of machine ${where}`, options, INSTANCE_MACHINE);
    if (system === ec2.OperatingSystemType.WINDOWS) {
      check.refuse(this, `the machine ${where} runs Windows; allowed: Amazon Linux 2023`);
    }
    this.requireCommand(`the machine ${where}`);
    const { user = 'ec2-user' } = options;
    check.requireKnown(this, 'user', user, 'give it as a literal string');
    if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(user)) {
      check.refuse(this, `user is '${user}'; allowed: the name of a user, like 'ec2-user'`);
    }
    const files = InstanceFiles.of(this);
    files.grantRead(machine);
    this.grantJoin(machine);
    this.cluster.connections.allowDefaultPortFrom(machine, `host ${this.hostName} joins the cluster`);
    const region = Stack.of(this).region;
    const installer = `/run/imaginary-${this.hostName}-install.sh`;
    const stop = Math.ceil((Number(this.entry.drainTimeout) + Number(this.entry.stopTimeout)) / 1_000) + STOP_MARGIN;
    userData.addCommands(
      `until aws s3 cp --region '${region}' '${files.url('Installer')}' ${installer}; do sleep 5; done`,
      [
        `bash ${installer}`,
        `--cli '${files.url('Cli')}'`,
        `--supervisor-x86_64 '${files.url('SupervisorX8664')}'`,
        `--supervisor-arm64 '${files.url('SupervisorArm64')}'`,
        `--shim-x86_64 '${files.url('ShimX8664')}'`,
        `--shim-arm64 '${files.url('ShimArm64')}'`,
        `--version '${files.version}'`,
        `--seed '${this.cluster.seedEndpoint}'`,
        `--key '${this.cluster.clusterKey.secretArn}'`,
        `--region '${region}'`,
        `--user '${user}'`,
        `--stop '${stop}'`,
        ...pairs(this.joinArguments(options)),
      ].join(' \\\n  '),
    );
  }

  private requireCommand(where: string): void {
    if (this.entry.command) return;
    check.refuse(this, `command is missing, and ${where} runs the host; set it in addInstance`);
  }

  /** Arguments of `imaginary join` besides those that say which cluster it is. */
  private joinArguments({ waitForCount, waitFor, waitTimeout }: InstanceRunOptions): string[] {
    const standby = this.cluster.seed.standbyEndpoint;
    const which = ['--name', this.hostName, ...(standby === undefined ? [] : ['--standby', standby])];
    if (waitForCount === undefined && waitFor === undefined) {
      if (waitTimeout !== undefined) check.refuse(this, "waitTimeout is set without 'waitFor' and 'waitForCount'");
      return which;
    }
    if (waitForCount !== undefined && waitFor !== undefined) {
      check.refuse(this, "waitForCount is set beside 'waitFor'; allowed: one of them");
    }
    for (const [i, name] of (waitFor ?? []).entries()) check.checkHostName(this, `waitFor[${i}]`, name);
    if (waitFor?.length === 0) check.refuse(this, 'waitFor is []; allowed: the names of hosts');
    const count = { low: 1, high: 65_535, unit: 'hosts' };
    const wait = waitFor?.join(',') ?? String(check.checkWhole(this, 'waitForCount', waitForCount!, count));
    const limit = waitTimeout ? check.milliseconds(this, 'waitTimeout', waitTimeout, WAIT_TIMEOUT) : undefined;
    return [...which, '--wait', wait, ...(limit === undefined ? [] : ['--wait-timeout', String(limit / 1_000)])];
  }

  private checkedEntry(props: InstanceOptions) {
    const { command, workingDirectory, environment = {} } = props;
    if (command) check.checkCommand(this, command);
    if (workingDirectory !== undefined) checkWorkingDirectory(this, workingDirectory, '/srv/app');
    const remappedFiles = { ...props.remappedFiles };
    check.checkRemappedFiles(this, remappedFiles);
    for (const [name, value] of Object.entries(environment)) {
      check.requireKnown(this, `environment['${name}']`, value, 'set it where `imaginary join` runs');
    }
    const ms = (prop: Exclude<keyof typeof HOST_LIMITS & keyof InstanceOptions, 'memorySize'>) =>
      hostTime(this, prop, props[prop]);
    return {
      name: this.hostName,
      aliases: this.aliases,
      kind: 'instance',
      command: command && [...command],
      environment: { ...environment },
      workingDirectory,
      remappedFiles,
      allocationTimeout: ms('allocationTimeout'),
      settleTime: ms('settleTime'),
      readyWhen: readyRule(this, props.readyWhen),
      livenessCommand: ownCommand(this, 'livenessCommand', props.livenessCommand),
      livenessInterval: ms('livenessInterval'),
      onDrain: ownCommand(this, 'onDrain', props.onDrain),
      onRelease: ownCommand(this, 'onRelease', props.onRelease),
      drainTimeout: ms('drainTimeout'),
      stopTimeout: ms('stopTimeout'),
    } satisfies Partial<ManifestHost>;
  }
}

/** Options and their values, quoted for a shell. */
function pairs(words: readonly string[]): string[] {
  return words.flatMap((word, i) => (i % 2 === 0 ? [`${word} '${words[i + 1]}'`] : []));
}
