import type { Duration, Size } from 'aws-cdk-lib';
import type * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as events from 'aws-cdk-lib/aws-events';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as logs from 'aws-cdk-lib/aws-logs';
import type { Ready } from './ready';
import type { StartBarrier } from './start-barrier';

/** What keeps a host from being idle, besides the CPU use of its guests. */
export enum ReleasePolicy {
  /**
   * A host with an open connection is in use, even if nothing moves on it. For guests that wait quietly, for longer than
   * `idleTimeout`, for something from outside of the cluster: that cannot wake a suspended host.
   */
  NO_CONNECTIONS = 'no-connections',
  /**
   * Only a connection that moves bytes counts. An open but quiet one does not hold the host, and data from another member
   * on it wakes the suspended host.
   */
  NO_TRAFFIC = 'no-traffic',
  /** The host is never idle: once started, it runs until it is stopped or its guest ends. */
  NEVER = 'never',
}

/** Whether a guest that has ended by itself is started again. */
export enum RestartPolicy {
  /** The next connection to the host starts it. */
  NEVER = 'never',
  /** A guest that exits with another code than 0, or that a signal ends, is started again. */
  ON_FAILURE = 'on-failure',
  /** The guest is started again however it ended. */
  ALWAYS = 'always',
}

/** How a host of a cluster is run. */
export interface HostOptions {
  /**
   * The guest's files: its program, its configuration, what it needs. They are at `/var/task` when it runs.
   */
  readonly code: lambda.Code;

  /**
   * The guest's command line. The program is found by absolute path, relative to `workingDirectory`, or in `PATH`.
   */
  readonly command: string[];

  /**
   * The guest's environment. Values that are known only at deployment (a bucket's name, another stack's output) go
   * through the function's own environment, where Lambda's rules for names and 4 KB in total apply.
   *
   * @default - nothing besides PATH, HOME, HOSTNAME and the region
   */
  readonly environment?: { [name: string]: string };

  /**
   * The directory that the guest starts in.
   *
   * @default '/var/task'
   */
  readonly workingDirectory?: string;

  /**
   * Files and directories that the guest finds at other paths than where they are, because it insists on those paths:
   * `{ '/etc/app': '/var/task/etc/app' }`. A directory is remapped with everything beneath it. Both are absolute paths. The host's
   * own `/etc/hosts` and `/etc/hostname` are remapped without being named; an entry for one of them wins.
   *
   * @default - only `/etc/hosts` and `/etc/hostname`
   */
  readonly remappedFiles?: { [path: string]: string };

  /**
   * Memory in MB, 128 to 10,240. CPU comes with it: one vCPU per 1,769 MB.
   *
   * @default 1769
   */
  readonly memorySize?: number;

  /**
   * The architecture that the guest is built for.
   *
   * @default lambda.Architecture.X86_64
   */
  readonly architecture?: lambda.Architecture;

  /**
   * The Node.js runtime that the supervisor runs in. The guest is not bound to it: whatever interpreter it needs comes
   * in `code` or in a layer.
   *
   * @default lambda.Runtime.NODEJS_24_X
   */
  readonly runtime?: lambda.Runtime;

  /**
   * Further layers, for example an interpreter that many hosts share. The supervisor and the shim take two of the five
   * that a function may have.
   *
   * @default - none
   */
  readonly layers?: lambda.ILayerVersion[];

  /**
   * The size of `/tmp`, the only place where a guest can write.
   *
   * @default Size.mebibytes(512)
   */
  readonly ephemeralStorageSize?: Size;

  /**
   * How long one invocation may take, 1 second to 30 minutes (1,800 seconds). Before it is over the host is handed to a new one.
   * More than 15 minutes take a region where Lambda allows that for functions that no service invokes for a client that waits.
   *
   * @default Duration.minutes(15)
   */
  readonly timeout?: Duration;

  /**
   * A host that was idle for this long is suspended: frozen, and not paid for.
   *
   * @default Duration.seconds(60)
   */
  readonly idleTimeout?: Duration;

  /**
   * A host that was suspended for this long is released: its guests end, and the next connection starts it anew.
   *
   * @default Duration.minutes(10)
   */
  readonly releaseTimeout?: Duration;

  /**
   * How long a connection waits for the host to be allocated before it fails with ETIMEDOUT.
   *
   * @default Duration.seconds(30)
   */
  readonly allocationTimeout?: Duration;

  /**
   * Once the guest listens somewhere, opened no further port and started nothing for this long, connections to other ports are
   * refused. While it uses CPU or starts processes it is not settled, for a minute at most. A port that it had in an earlier life, or
   * that was asked for before it listened anywhere, is waited for in any case, for 10 seconds after its first listener.
   *
   * @default Duration.seconds(1)
   */
  readonly settleTime?: Duration;

  /**
   * When the host is ready: the connections that started it wait until then, for `allocationTimeout` at most.
   *
   * @default Ready.listening()
   */
  readonly readyWhen?: Ready;

  /**
   * A command that finds out whether the guest still works: it runs beside the guest every `livenessInterval`, once the host is ready. A
   * guest for which it fails three times in a row is ended, and has failed: see `restartPolicy`. A suspended host is not looked at.
   *
   * @default - none
   */
  readonly livenessCommand?: string[];

  /**
   * The time between two runs of `livenessCommand`, and how long one may take.
   *
   * @default Duration.seconds(10)
   */
  readonly livenessInterval?: Duration;

  /**
   * A command that runs beside the guest when its host may be about to get another sandbox, so that the guest can save its state. It gets the
   * reason in the variable `IMAGINARY_REASON`:
   *
   * - `renewal`: `timeout` is nearly over, and the host is invoked again. That usually leads to the same sandbox, but nobody can know. The
   *   guest goes on, before the command has ended and after it; no connection notices.
   * - `replaced`: the host runs in another sandbox by now. The guest in this one ends after the command.
   * - `shutdown`: the platform ends the sandbox. The command has one second, and the guest 0.3 seconds.
   *
   * A command that fails, or takes longer than `drainTimeout`, changes nothing of this; `imaginary events` shows it.
   *
   * @default - none
   */
  readonly onDrain?: string[];

  /**
   * A command that runs beside the guest before the host is released: after `releaseTimeout`, when an operator releases or stops it, and
   * when the cluster goes down. Then the guest gets SIGTERM. The command reaches the cluster's other hosts, and may allocate them. A
   * command that fails, or takes longer than `drainTimeout`, does not keep the host; `imaginary events` shows it. It does not run when the
   * guest has ended by itself, or when its sandbox is lost.
   *
   * @default - none
   */
  readonly onRelease?: string[];

  /**
   * How long `onDrain` and `onRelease` may take, each; then what runs of them is killed. 0.1 seconds to 5 minutes. With one of the two
   * commands, `drainTimeout` and `stopTimeout` together are half of `timeout` at most.
   *
   * @default Duration.seconds(10)
   */
  readonly drainTimeout?: Duration;

  /**
   * How long the guest has to end after SIGTERM, before SIGKILL. 0 seconds to 5 minutes, and never longer than the function may still run.
   *
   * @default Duration.seconds(2)
   */
  readonly stopTimeout?: Duration;

  /**
   * What keeps the host from being idle.
   *
   * @default ReleasePolicy.NO_TRAFFIC
   */
  readonly releasePolicy?: ReleasePolicy;

  /**
   * Whether a guest that has ended by itself is started again, without a connection that asks for it. The first restart comes after half
   * a second; the time doubles, to 30 seconds at most, until the guest has run for 10 seconds.
   *
   * @default RestartPolicy.NEVER
   */
  readonly restartPolicy?: RestartPolicy;

  /**
   * Names of hosts that this host starts with: it is started when one of them is, and is not suspended before they are. For hosts that
   * only dial out, and that nobody ever connects to: a worker with its queue.
   *
   * @default - none: a connection starts the host
   */
  readonly startWith?: string[];

  /**
   * Names of hosts that this host connects to. Whenever this host is allocated they are started in the same moment, so that its first
   * connects do not wait for them. Unlike `startWith`, it is the hosts named here that are started, they are suspended by their own
   * idleness, and circles are allowed. The seed learns such hosts by itself as well; one that is named here is started the first time,
   * too. `imaginary edges` shows which of these starts were for nothing.
   *
   * @default - none: those that the seed has learnt
   */
  readonly connectsTo?: string[];

  /**
   * Whether the seed learns which hosts this host connects to after its allocation, and starts them together with it from then on. Wrong
   * guesses are forgotten.
   *
   * @default true
   */
  readonly prefetch?: boolean;

  /**
   * What the start of the guest waits for: other hosts, by their names or their number. For programs that read the list of their peers
   * once, when they start.
   *
   * @default - nothing
   */
  readonly startBarrier?: StartBarrier;

  /**
   * When the host is started, or woken where it is suspended, although nobody connects to it: for jobs by the clock, in UTC. The seed
   * does it, so it takes no rule and no invocation of its own. A host that runs at that time is left alone.
   *
   * @default - none
   */
  readonly wakeSchedule?: events.Schedule;

  /**
   * Further names that resolve to this host.
   *
   * @default - none
   */
  readonly aliases?: string[];

  /**
   * The virtual address, from the cluster's CIDR. Of hosts added with `addHosts`: the first one's address.
   *
   * @default - derived from the host's name; adding a host never changes it
   */
  readonly address?: string;

  /**
   * Reserve a concurrency of one for the function. The account's limit is then smaller by one for all other functions, also while
   * the host does not run; an account whose limit is 10, as new ones have, cannot reserve anything, and the deployment fails.
   * Without it a host cannot run twice either: a second sandbox is refused by the seed before its guests start. Not with `pooled`.
   *
   * @default - the cluster's `reserveConcurrency`; pooled hosts: false
   */
  readonly reserveConcurrency?: boolean;

  /**
   * Give the guest the credentials of the host's role, as Lambda gives them to any function. Without them a guest cannot use
   * what the role permits.
   *
   * @default false
   */
  readonly passCredentials?: boolean;

  /**
   * The role of the function, whose credentials a guest gets with `passCredentials`. A role given here needs those of `AWSLambdaVPCAccessExecutionRole` if `vpc` is set.
   *
   * @default - a role that may write the function's log and nothing else
   */
  readonly role?: iam.IRole;

  /**
   * Where the output of the supervisor and its guests goes.
   *
   * @default - a log group of its own
   */
  readonly logGroup?: logs.ILogGroup;

  /**
   * How long the host's log is kept. Not with `logGroup`.
   *
   * @default - the cluster's `logRetention`
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * Place the function in a VPC. It must reach the seed from there, which by default takes a NAT gateway.
   *
   * @default - not in a VPC
   */
  readonly vpc?: ec2.IVpc;

  /**
   * The subnets of `vpc` to use.
   *
   * @default - the private subnets
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /**
   * Security groups of the function in `vpc`.
   *
   * @default - a new one that allows all outbound traffic
   */
  readonly securityGroups?: ec2.ISecurityGroup[];
}

/** How a group of equal hosts is run. */
export interface HostGroupOptions extends HostOptions {
  /** The number of hosts. They are named `prefix-0`, `prefix-1` and so on. */
  readonly count: number;

  /**
   * Put all of them into one function, `<cluster>-<prefix>`, in which each host has sandboxes of its own: Lambda's tenant isolation,
   * with the host's name as the tenant. The template then has as many resources as for one host; otherwise each host takes three or
   * more of the 500 that CloudFormation allows. The hosts are the same to each other and to their guests as without it, and each is
   * allocated, suspended and released by itself. They share what a function has once: role, log group, metrics, VPC, and values of the
   * environment that are known only at deployment.
   *
   * Lambda charges for each sandbox that it makes for a tenant, keeps 2,500 of a function for every 1,000 concurrent executions, and has
   * no function URL, provisioned concurrency or SnapStart for such a function. Changing this replaces the functions.
   *
   * @see https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation.html
   * @default false
   */
  readonly pooled?: boolean;
}
