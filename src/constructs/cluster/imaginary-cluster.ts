import { createHash } from 'node:crypto';
import { Annotations, Aspects, type IResource, Resource, Stack, Token, Tokenization } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import {
  type AddressRequest,
  assignAddresses,
  CIDR,
  type Cidr,
  CLUSTER_LIMITS,
  CLUSTER_NAME_LENGTH,
  CLUSTER_NAME_PATTERN,
  CLUSTER_NAME_RULE,
  dataPortOf,
  hostRange,
  type ManifestLimits,
  parseManifest,
  SEED_PORT,
} from '../../contract/manifest';
import { HostFunction } from '../host/host-function';
import type { HostGroupOptions, HostOptions } from '../host/host-options';
import { acknowledge } from '../private/acknowledge';
import * as check from '../private/checks';
import { HostPool } from '../private/pool';
import { ATTRIBUTES, CLUSTER, checkShape, HOST, HOST_GROUP } from '../private/shape';
import { SeedNode, type SeedNodeOptions } from '../seed/seed-node';

/** A cluster of hosts that appear to run and run only when something connects to them. */
export interface IImaginaryCluster extends IResource, ec2.IConnectable {
  /** The cluster's name. */
  readonly clusterName: string;

  /** The key that everything that joins the cluster must know. */
  readonly clusterKey: secretsmanager.ISecret;

  /** The seed's address and port, `address:port`: what joins the cluster connects there. */
  readonly seedEndpoint: string;

  /**
   * Lets a principal read the cluster key, which is what joining the cluster takes.
   *
   * @param grantee who may join, for example an EC2 instance's role
   */
  grantJoin(grantee: iam.IGrantable): iam.Grant;
}

/** What identifies a cluster that another app defines. */
export interface ImaginaryClusterAttributes {
  /** The cluster's name. */
  readonly clusterName: string;

  /** The cluster's key. */
  readonly clusterKey: secretsmanager.ISecret;

  /** The address of its seed. */
  readonly seedAddress: string;

  /**
   * The port of its seed.
   *
   * @default 9410
   */
  readonly seedPort?: number;

  /**
   * The security groups of its seed.
   *
   * @default - none: connections cannot be allowed through this reference
   */
  readonly securityGroups?: ec2.ISecurityGroup[];
}

/** Properties of an ImaginaryCluster. */
export interface ImaginaryClusterProps extends SeedNodeOptions {
  /**
   * The cluster's name: 1 to 32 letters, digits and hyphens. Its functions are called `<cluster>-<host>`, so it must be
   * unique in its account and region.
   *
   * @default - the stack's name and the construct's id
   */
  readonly clusterName?: string;

  /**
   * The block that virtual addresses are taken from, /16 to /28. It must not overlap a network that guests talk to.
   *
   * @default '100.64.0.0/16'
   */
  readonly cidr?: string;

  /**
   * The key that everything that joins must know: a random string of at least 16 characters.
   *
   * @default - a generated secret
   */
  readonly clusterKey?: secretsmanager.ISecret;

  /**
   * How long the logs of hosts are kept, unless a host says otherwise.
   *
   * @default logs.RetentionDays.ONE_MONTH
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * Reserve a concurrency of one for each host's function, unless the host says otherwise: see `HostOptions.reserveConcurrency`. Of
   * pooled hosts nothing is reserved.
   *
   * @default false
   */
  readonly reserveConcurrency?: boolean;

  /**
   * How many hosts may be started in a minute, in the whole cluster: 1 to 100,000. So many may be started at once; after that, the
   * minute's share comes back evenly. An allocation counts, also one after a failure, and so does waking a suspended host. Beyond the
   * limit a connect that would start a host fails with ENOBUFS, and `imaginary events` shows `limited`. Hosts that run are reached as ever.
   *
   * @default 2000
   */
  readonly maxAllocationsPerMinute?: number;

  /**
   * How many hosts one member may start in a minute by connecting to them: 1 to 100,000. A member is a host or a client. It is
   * counted and refused as with `maxAllocationsPerMinute`; other members are not concerned.
   *
   * @default 500
   */
  readonly maxAllocationsPerMinutePerMember?: number;

  /**
   * How many hosts may be allocated or run at one time: 1 to 100,000. Imagined and suspended hosts do not count. Beyond the limit a
   * connect that would start another host fails with ENOBUFS, and `imaginary events` shows `limited`.
   *
   * @default 1000
   */
  readonly maxRunningHosts?: number;
}

abstract class ImaginaryClusterBase extends Resource implements IImaginaryCluster {
  public abstract readonly clusterName: string;
  public abstract readonly clusterKey: secretsmanager.ISecret;
  public abstract readonly seedEndpoint: string;
  public abstract readonly connections: ec2.Connections;

  public grantJoin(grantee: iam.IGrantable): iam.Grant {
    return this.clusterKey.grantRead(grantee);
  }
}

/**
 * A cluster of hosts. None of them runs; every name resolves, every address is stable, and the first connection to a host
 * allocates it: a Lambda function is invoked, the guest is started in it, and the connection goes through.
 */
export class ImaginaryCluster extends ImaginaryClusterBase {
  /**
   * A cluster that another app defines.
   *
   * @param scope where to put the reference
   * @param id its id
   * @param attrs what identifies the cluster
   */
  public static fromImaginaryClusterAttributes(
    scope: Construct,
    id: string,
    attrs: ImaginaryClusterAttributes,
  ): IImaginaryCluster {
    checkShape(scope, ` of '${id}'`, attrs, ATTRIBUTES);
    const port = attrs.seedPort ?? SEED_PORT.default;
    class Import extends ImaginaryClusterBase {
      public readonly clusterName = attrs.clusterName;
      public readonly clusterKey = attrs.clusterKey;
      public readonly seedEndpoint = `${attrs.seedAddress}:${Tokenization.stringifyNumber(port)}`;
      public readonly connections = new ec2.Connections({
        securityGroups: attrs.securityGroups,
        // There is no arithmetic with a port that is known at deployment.
        defaultPort: Token.isUnresolved(port) ? ec2.Port.tcp(port) : ec2.Port.tcpRange(port, dataPortOf(port)),
      });
    }
    return new Import(scope, id);
  }

  public readonly clusterName: string;
  public readonly clusterKey: secretsmanager.ISecret;

  /** The block that virtual addresses are taken from. */
  public readonly cidr: string;

  /** The seed, which the hosts join through and which allocates them. */
  public readonly seed: SeedNode;

  /** How long the logs of hosts are kept, unless a host says otherwise. */
  public readonly logRetention: logs.RetentionDays;

  /** Whether a concurrency of one is reserved for each host's function, unless the host says otherwise. */
  public readonly reserveConcurrency: boolean;

  private readonly block: Cidr;
  private readonly limits: ManifestLimits;
  private readonly hostList: HostFunction[] = [];
  private readonly nameOwners = new Map<string, string>();
  private readonly addressRequests: AddressRequest[] = [];
  private readonly grouped = new Set<string>();
  private readonly pools = new Map<string, HostPool>();
  private readonly functionOwners = new Map<string, string>();

  constructor(scope: Construct, id: string, props: ImaginaryClusterProps = {}) {
    super(scope, id);
    checkShape(this, '', props, CLUSTER);
    this.clusterName = props.clusterName ?? this.defaultName(id);
    check.requireKnown(this, 'clusterName', this.clusterName, 'give it as a literal string');
    if (!CLUSTER_NAME_PATTERN.test(this.clusterName)) {
      check.refuse(this, `clusterName is '${this.clusterName}'; allowed: ${CLUSTER_NAME_RULE}`);
    }
    this.cidr = props.cidr ?? CIDR.default;
    this.block = check.clusterBlock(this, this.cidr);
    this.logRetention = props.logRetention ?? logs.RetentionDays.ONE_MONTH;
    this.reserveConcurrency = props.reserveConcurrency ?? false;
    this.limits = this.checkedLimits(props);
    this.clusterKey = props.clusterKey ?? this.generatedKey();
    this.seed = new SeedNode(this, 'Seed', { ...props, cluster: this });

    this.node.addValidation({ validate: () => this.problems() });
    Aspects.of(this).add({
      visit: (node) => {
        if (node !== this || this.hostList.length > 0) return;
        Annotations.of(this).addWarningV2(
          'cdk-imaginary-machines:no-hosts',
          `the cluster '${this.clusterName}' has no hosts, so its seed has nothing to allocate; add one with addHost`,
        );
      },
    });
  }

  /** The cluster's hosts, in the order they were added. */
  public get hosts(): HostFunction[] {
    return [...this.hostList];
  }

  public get connections(): ec2.Connections {
    return this.seed.connections;
  }

  public get seedEndpoint(): string {
    return this.seed.endpoint;
  }

  /**
   * Adds a host.
   *
   * @param name the name that other hosts reach it by: lower-case letters, digits and hyphens
   * @param options how the host is run
   */
  public addHost(name: string, options: HostOptions): HostFunction {
    check.checkHostName(this, 'the name of a host', name);
    checkShape(this, ` of host '${name}'`, options, HOST);
    this.requireFree(this, name, [name]); // before a second construct of that id says it less clearly
    return new HostFunction(this, name, { ...options, cluster: this });
  }

  /**
   * Adds equal hosts with consecutive addresses, named `prefix-0`, `prefix-1` and so on.
   *
   * @param prefix what their names start with
   * @param options how each of them is run, and how many there are
   */
  public addHosts(prefix: string, options: HostGroupOptions): HostFunction[] {
    check.checkHostName(this, 'the prefix of a group of hosts', prefix);
    checkShape(this, ` of the hosts '${prefix}'`, options, HOST_GROUP);
    const { count, address, pooled, ...each } = options;
    const { first, last } = hostRange(this.block);
    const range = { low: 1, high: last - first + 1, unit: `hosts in ${this.cidr}` };
    check.checkWhole(this, `count of '${prefix}'`, count, range);
    const pinned = address === undefined ? undefined : check.pinnedAddress(this, this.block, address, count);
    const names = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
    if (pooled) {
      for (const name of names) this.requireFree(this, name, [name]);
      const pool = new HostPool(this, prefix, options);
      this.takeFunction(this, pool.functionName, `the pooled hosts '${prefix}'`);
      for (const name of names) this.pools.set(name, pool);
    }
    for (const name of names) this.grouped.add(name);
    this.addressRequests.push({ name: prefix, count, pinned });
    return names.map((name) => this.addHost(name, each));
  }

  /**
   * Takes a host into the manifest. Called by its constructor.
   *
   * @internal
   */
  public _register(host: HostFunction, address?: string): void {
    const names = [host.hostName, ...host.aliases];
    this.requireFree(host, host.hostName, names);
    for (const name of names) this.nameOwners.set(name, host.hostName);
    if (!this.grouped.has(host.hostName)) {
      const pinned = address === undefined ? undefined : check.pinnedAddress(host, this.block, address);
      this.addressRequests.push({ name: host.hostName, pinned });
    }
    if (!this.pools.has(host.hostName)) this.takeFunction(host, host.functionName, `host '${host.hostName}'`);
    this.hostList.push(host);
  }

  /**
   * What the host shares its function through; undefined: the function is its own.
   *
   * @internal
   */
  public _poolOf(hostName: string): HostPool | undefined {
    return this.pools.get(hostName);
  }

  /**
   * The virtual address of a host.
   *
   * @internal
   */
  public _addressOf(hostName: string): number {
    // An address depends on its own request alone, so the hosts that are still to come do not matter.
    for (const request of this.addressRequests) {
      const address = assignAddresses(this.block, [request]).get(hostName);
      if (address !== undefined) return address;
    }
    return check.refuse(this, `'${hostName}' is not a host of this cluster`);
  }

  /**
   * The manifest's text, or undefined if it has problems; then the cluster's validation fails the synthesis.
   *
   * @internal
   */
  public _renderManifest(): string | undefined {
    return this.problems().length > 0 ? undefined : `${JSON.stringify(this.manifest(), undefined, 2)}\n`;
  }

  private takeFunction(scope: Construct, name: string, owner: string): void {
    const other = this.functionOwners.get(name);
    if (other !== undefined) {
      check.refuse(
        scope,
        `the function of ${owner} would be called '${name}', as that of ${other}; choose another name`,
      );
    }
    this.functionOwners.set(name, owner);
    this.seed._allowAllocation(name);
  }

  private requireFree(scope: Construct, host: string, names: readonly string[]): void {
    names.forEach((name, i) => {
      const owner = names.indexOf(name) < i ? host : this.nameOwners.get(name);
      if (owner === undefined) return;
      check.refuse(scope, `the name '${name}' of host '${host}' is taken by host '${owner}'; ${UNIQUE_NAMES}`);
    });
  }

  private problems(): string[] {
    try {
      this.manifest();
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  }

  private manifest() {
    const addresses = assignAddresses(this.block, this.addressRequests);
    return parseManifest({
      version: 1,
      cluster: { name: this.clusterName, cidr: this.cidr, limits: this.limits },
      seed: {
        port: this.seed.port,
        dataPort: this.seed.dataPort,
        ...(this.seed.leaseTable ? { standby: true } : {}),
      },
      hosts: this.hostList.map((host) => host._manifestHost(addresses.get(host.hostName)!)),
    });
  }

  private defaultName(id: string): string {
    const { stackName } = Stack.of(this);
    if (Token.isUnresolved(stackName)) {
      check.refuse(this, `the stack's name is known only at deployment, so the cluster needs one: set 'clusterName'`);
    }
    return shortName(`${stackName}-${id}`.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-+|-+$/g, ''));
  }

  private checkedLimits(props: ImaginaryClusterProps): ManifestLimits {
    const limit = (name: keyof ManifestLimits) =>
      check.checkWhole(this, name, props[name] ?? CLUSTER_LIMITS[name].default, CLUSTER_LIMITS[name]);
    return {
      maxAllocationsPerMinute: limit('maxAllocationsPerMinute'),
      maxAllocationsPerMinutePerMember: limit('maxAllocationsPerMinutePerMember'),
      maxRunningHosts: limit('maxRunningHosts'),
    };
  }

  private generatedKey(): secretsmanager.ISecret {
    const key = new secretsmanager.Secret(this, 'Key', {
      description: `What joins the imaginary cluster ${this.clusterName} proves that it knows this key`,
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
    });
    acknowledge(key, {
      'AwsSolutions-SMG4':
        'Rotated by putting a new value: the seed accepts both for an hour. On a schedule, host instances would be cut off.',
    });
    return key;
  }
}

const UNIQUE_NAMES = 'choose another: every host name and alias is unique in a cluster';

/** A longer name keeps its start and gets a hash, so that it stays unique. */
function shortName(name: string): string {
  if (name.length <= CLUSTER_NAME_LENGTH) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${name.slice(0, CLUSTER_NAME_LENGTH - 1 - hash.length)}-${hash}`;
}
