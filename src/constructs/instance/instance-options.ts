import type { Duration } from 'aws-cdk-lib';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Ready } from '../host/ready';

/** What a cluster knows of a host instance: a host on a machine of its own, which joins by itself. */
export interface InstanceOptions {
  /**
   * The guest's command line, where `imaginary join` is given none. The program is found by absolute path, relative to
   * `workingDirectory`, or in `PATH`.
   *
   * @default - none: `imaginary join` is given one
   */
  readonly command?: string[];

  /**
   * Variables of the guest's, besides those that `imaginary join` runs with. They are part of the manifest, so that values have to be
   * known at synthesis.
   *
   * @default - none
   */
  readonly environment?: { [name: string]: string };

  /**
   * The directory that the guest starts in.
   *
   * @default - where `imaginary join` was started
   */
  readonly workingDirectory?: string;

  /**
   * Files and directories that the guest finds at other paths than where they are: see `HostOptions.remappedFiles`.
   *
   * @default - only `/etc/hosts` and `/etc/hostname`
   */
  readonly remappedFiles?: { [path: string]: string };

  /**
   * How long a connection waits for the instance to join, and for its guest to listen, before it fails with ETIMEDOUT.
   *
   * @default Duration.seconds(30)
   */
  readonly allocationTimeout?: Duration;

  /**
   * Connections to ports that the guest does not listen on are refused after this time: see `HostOptions.settleTime`.
   *
   * @default Duration.seconds(1)
   */
  readonly settleTime?: Duration;

  /**
   * When the host is ready: connections wait until then, for `allocationTimeout` at most.
   *
   * @default Ready.listening()
   */
  readonly readyWhen?: Ready;

  /**
   * A command that finds out whether the guest still works: see `HostOptions.livenessCommand`. A guest for which it fails three times in a
   * row is ended, and `imaginary join` with it.
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
   * A command that runs beside the guest when another supervisor has become the host, before the guest here gets SIGTERM.
   *
   * @default - none
   */
  readonly onDrain?: string[];

  /**
   * A command that runs beside the guest when `imaginary join` is told to end, before the guest gets SIGTERM.
   *
   * @default - none
   */
  readonly onRelease?: string[];

  /**
   * How long `onDrain` and `onRelease` may take, each; then what runs of them is killed. 0.1 seconds to 5 minutes.
   *
   * @default Duration.seconds(10)
   */
  readonly drainTimeout?: Duration;

  /**
   * How long the guest has between SIGTERM and SIGKILL. Up to 5 minutes.
   *
   * @default Duration.seconds(2)
   */
  readonly stopTimeout?: Duration;

  /**
   * Further names that resolve to this host.
   *
   * @default - none
   */
  readonly aliases?: string[];

  /**
   * The host's virtual address.
   *
   * @default - one that follows from the name
   */
  readonly address?: string;
}

/** How a host instance is run on a machine. */
export interface InstanceRunOptions {
  /**
   * The guest is started once so many hosts have joined, this one among them. One of `waitForCount` and `waitFor`.
   *
   * @default - the guest is started at once
   */
  readonly waitForCount?: number;

  /**
   * The guest is started once these hosts have joined. Host functions among them are started.
   *
   * @default - the guest is started at once
   */
  readonly waitFor?: string[];

  /**
   * How long these hosts are waited for; then the host leaves, and is tried again. 1 second to 24 hours.
   *
   * @default Duration.minutes(1)
   */
  readonly waitTimeout?: Duration;
}

/** How a host instance is run on an EC2 instance. */
export interface InstanceMachineOptions extends InstanceRunOptions {
  /**
   * The user that the supervisor and its guest run as. The machine has to have it.
   *
   * @default 'ec2-user'
   */
  readonly user?: string;
}

/** A container that is a host instance. */
export interface InstanceContainerOptions extends InstanceRunOptions {
  /**
   * The container, but for its entry point. Its image holds the guest's program, and `program`. Its `command` is the guest's command line.
   */
  readonly container: ecs.ContainerDefinitionOptions;

  /**
   * How `imaginary` is called in the image: the program, and arguments that come first.
   *
   * @default ['imaginary']
   */
  readonly program?: string[];
}
