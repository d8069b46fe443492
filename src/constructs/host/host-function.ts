import { Stack, Token } from 'aws-cdk-lib';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import {
  BARRIER_LIMITS,
  endProblem,
  formatAddress,
  HOST_DEFAULTS,
  HOST_LIMITS,
  type ManifestHost,
} from '../../contract/manifest';
import type { ImaginaryCluster } from '../cluster/imaginary-cluster';
import * as check from '../private/checks';
import { checkWorkingDirectory, hostTime, ownCommand, readyRule } from '../private/guest-entry';
import type { HostPool } from '../private/pool';
import { createResources } from '../private/resources';
import { checkShape, HOST_FUNCTION } from '../private/shape';
import { type HostOptions, ReleasePolicy, RestartPolicy } from './host-options';

/** Properties of a HostFunction. */
export interface HostFunctionProps extends HostOptions {
  /** The cluster that the host belongs to. */
  readonly cluster: ImaginaryCluster;

  /**
   * The name that the cluster's other hosts reach this one by.
   *
   * @default - the construct's id
   */
  readonly hostName?: string;
}

/**
 * One host of a cluster: a Lambda function that runs only while somebody needs the host.
 *
 * Usually made by `ImaginaryCluster.addHost`.
 */
export class HostFunction extends Construct implements iam.IGrantable, ec2.IConnectable {
  /** The host's name in the cluster. */
  public readonly hostName: string;

  /** Further names that resolve to this host. */
  public readonly aliases: string[];

  /** The physical name of the function: `<cluster>-<host>`, or `<cluster>-<prefix>` of pooled hosts. */
  public readonly functionName: string;

  /** The function that the host runs in. Pooled hosts have one for all of them. */
  public readonly lambdaFunction: lambda.Function;

  /** Where the output of the supervisor and its guests goes. Pooled hosts have one for all of them; each line names its host. */
  public readonly logGroup: logs.ILogGroup;

  /** The guest's permissions. Pooled hosts have one role: what one of them is granted, all of them are. */
  public readonly role: iam.IRole;

  /** The guest's permissions. */
  public readonly grantPrincipal: iam.IPrincipal;

  private readonly cluster: ImaginaryCluster;
  /** Of which the function is, where it is not the host's alone. */
  private readonly pool?: HostPool;
  private readonly guestEnvironment: { [name: string]: string } = {};
  /** Variables of the function that the supervisor passes on to the guest. */
  private readonly passed = new Set<string>();
  private readonly fixed: Omit<ManifestHost, 'address' | 'environment'>;

  constructor(scope: Construct, id: string, props: HostFunctionProps) {
    super(scope, id);
    checkShape(this, '', props, HOST_FUNCTION);
    if (props.logGroup && props.logRetention !== undefined) {
      check.refuse(
        this,
        "logRetention is set beside 'logGroup', which has its own; set it there, or leave 'logGroup' out",
      );
    }
    this.cluster = props.cluster;
    this.hostName = props.hostName ?? id;
    this.aliases = [...(props.aliases ?? [])];
    check.checkHostName(this, props.hostName === undefined ? 'the host name (the id)' : 'hostName', this.hostName);
    for (const [i, alias] of this.aliases.entries()) check.checkHostName(this, `aliases[${i}]`, alias);
    if (Stack.of(this) !== Stack.of(this.cluster)) {
      const stacks = `stack '${Stack.of(this).node.path}', its cluster to '${Stack.of(this.cluster).node.path}'`;
      check.refuse(this, `the host belongs to ${stacks}; define both in one stack`);
    }
    this.pool = this.cluster._poolOf(this.hostName);
    this.functionName = this.pool?.functionName ?? `${this.cluster.clusterName}-${this.hostName}`;
    if (!this.pool) check.checkFunctionName(this, this.functionName, this.cluster.clusterName, this.hostName);
    if (props.runtime) check.checkRuntime(this, props.runtime);
    this.fixed = this.checkedHost(props);
    this.cluster._register(this, props.address);

    const entry = { ...this.fixed, functionName: this.functionName };
    const resources =
      this.pool?.resources(props, entry) ??
      createResources(this, {
        ...{ cluster: this.cluster, whose: `host ${this.hostName}`, options: props, entry },
        reserveConcurrency: props.reserveConcurrency ?? this.cluster.reserveConcurrency,
      });
    this.lambdaFunction = resources.lambdaFunction;
    this.logGroup = resources.logGroup;
    this.role = resources.role;
    this.grantPrincipal = this.role;
    if (props.passCredentials) for (const name of CREDENTIALS) this.passed.add(name);
    for (const [name, value] of Object.entries(props.environment ?? {})) this.addEnvironment(name, value);
  }

  /** The host's virtual address, the same whether it runs or not. */
  public get virtualAddress(): string {
    return formatAddress(this.cluster._addressOf(this.hostName));
  }

  /** The function's connections. Only of a host in a VPC. */
  public get connections(): ec2.Connections {
    return this.lambdaFunction.connections;
  }

  /**
   * Adds a variable to the guest's environment. Among pooled hosts a value that is known only at deployment can be of one host or of
   * several, but the name cannot have another such value on another host.
   *
   * @param name the variable's name
   * @param value its value, which may be known only at deployment
   */
  public addEnvironment(name: string, value: string): this {
    for (const [what, given] of Object.entries({ name, value })) {
      if (typeof given === 'string' || Token.isUnresolved(given)) continue;
      const of = what === 'name' ? '' : ` of '${name}'`;
      check.refuse(
        this,
        `the ${what}${of} in the environment is ${JSON.stringify(given) ?? typeof given}; allowed: a string`,
      );
    }
    if (Token.isUnresolved(value)) {
      this.pool?.requireSame(this, this.hostName, name, value);
      delete this.guestEnvironment[name];
      this.passed.add(name);
      this.lambdaFunction.addEnvironment(name, value);
    } else {
      this.passed.delete(name);
      this.guestEnvironment[name] = value;
    }
    return this;
  }

  /**
   * A metric of the host's function. Lambda has none by tenant: this one, and those below, are of all pooled hosts together.
   *
   * @param metricName for example `ConcurrentExecutions`
   * @param props how to show it
   */
  public metric(metricName: string, props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.lambdaFunction.metric(metricName, props);
  }

  /**
   * How often the host was allocated, resumed or handed to a new invocation. Default: sum over 5 minutes.
   *
   * @param props how to show it
   */
  public metricInvocations(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.lambdaFunction.metricInvocations(props);
  }

  /**
   * How long the host ran, in milliseconds: what is paid for. Default: average over 5 minutes.
   *
   * @param props how to show it
   */
  public metricDuration(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.lambdaFunction.metricDuration(props);
  }

  /**
   * How often an invocation failed. Default: sum over 5 minutes.
   *
   * @param props how to show it
   */
  public metricErrors(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.lambdaFunction.metricErrors(props);
  }

  /**
   * How often an allocation met the account's limit, or with `reserveConcurrency` a host that ran already. Default: sum over 5 minutes.
   *
   * @param props how to show it
   */
  public metricThrottles(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.lambdaFunction.metricThrottles(props);
  }

  /**
   * The host's entry in the manifest.
   *
   * @internal
   */
  public _manifestHost(address: number): ManifestHost {
    const environment = { ...this.guestEnvironment };
    const passed = [environment[PASS_ENVIRONMENT], ...this.passed].filter(Boolean).join(',');
    if (passed) environment[PASS_ENVIRONMENT] = passed;
    return { ...this.fixed, address: formatAddress(address), environment };
  }

  private checkedHost(props: HostOptions): Omit<ManifestHost, 'address' | 'environment'> {
    check.checkCommand(this, props.command);
    const workingDirectory = props.workingDirectory ?? HOST_DEFAULTS.workingDirectory;
    checkWorkingDirectory(this, workingDirectory, HOST_DEFAULTS.workingDirectory);
    const remappedFiles = { ...props.remappedFiles };
    check.checkRemappedFiles(this, remappedFiles);
    const { memorySize } = HOST_LIMITS;
    const ms = (prop: Exclude<keyof typeof HOST_LIMITS, 'memorySize'>) => hostTime(this, prop, props[prop]);
    const ending = {
      onDrain: ownCommand(this, 'onDrain', props.onDrain),
      onRelease: ownCommand(this, 'onRelease', props.onRelease),
      drainTimeout: ms('drainTimeout'),
      stopTimeout: ms('stopTimeout'),
      timeout: ms('timeout'),
    };
    const problem = endProblem(ending);
    if (problem) check.refuse(this, problem);
    return {
      name: this.hostName,
      aliases: this.aliases,
      kind: 'function',
      functionName: this.functionName,
      pooled: this.pool !== undefined,
      command: [...props.command],
      workingDirectory,
      remappedFiles,
      memorySize: check.checkWhole(this, 'memorySize', props.memorySize ?? memorySize.default, memorySize),
      ...ending,
      idleTimeout: ms('idleTimeout'),
      releaseTimeout: ms('releaseTimeout'),
      allocationTimeout: ms('allocationTimeout'),
      settleTime: ms('settleTime'),
      readyWhen: readyRule(this, props.readyWhen),
      livenessCommand: ownCommand(this, 'livenessCommand', props.livenessCommand),
      livenessInterval: ms('livenessInterval'),
      releasePolicy: props.releasePolicy ?? ReleasePolicy.NO_TRAFFIC,
      restartPolicy: props.restartPolicy ?? RestartPolicy.NEVER,
      startWith: [...(props.startWith ?? [])],
      connectsTo: [...(props.connectsTo ?? [])],
      prefetch: props.prefetch ?? true,
      startBarrier: this.startBarrier(props),
      wakeSchedule: props.wakeSchedule?.expressionString,
    };
  }

  private startBarrier({ startBarrier }: HostOptions): ManifestHost['startBarrier'] {
    if (!startBarrier) return undefined;
    const { count, hosts, options } = startBarrier._rule;
    const limit = BARRIER_LIMITS.timeout;
    const timeout =
      options.timeout === undefined
        ? limit.default
        : check.milliseconds(this, "startBarrier's timeout", options.timeout, limit);
    if (hosts === undefined) {
      return { count: check.checkWhole(this, "startBarrier's count", count!, BARRIER_LIMITS.count), timeout };
    }
    const given: unknown = hosts;
    if (!Array.isArray(given)) {
      check.refuse(this, `startBarrier's hosts are ${JSON.stringify(given)}; allowed: an array of names of hosts`);
    }
    for (const name of [given, ...given]) {
      check.requireKnown(this, "startBarrier's hosts", name, 'give them as literal strings');
    }
    return { hosts: [...given], timeout };
  }
}

/** The guest's environment names here what it also gets of the function's; a list, separated by commas. */
const PASS_ENVIRONMENT = 'IMAGINARY_PASS_ENV';
const CREDENTIALS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];
