import { createHash } from 'node:crypto';
import { Annotations, Aspects, Resource, Stack, Token, Tokenization } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import {
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
  requestOfService,
  SEED_PORT,
} from '../../contract/manifest';
import { HostFunction } from '../host/host-function';
import type { HostGroupOptions, HostOptions } from '../host/host-options';
import { type ExposeOptions, Protocol } from '../ingress/expose-options';
import { ExposedHost } from '../ingress/exposed-host';
import { HostInstance } from '../instance/host-instance';
import type { InstanceOptions } from '../instance/instance-options';
import { acknowledge } from '../private/acknowledge';
import * as check from '../private/checks';
import { Directory } from '../private/directory';
import { HostPool } from '../private/pool';
import { ATTRIBUTES, CLUSTER, checkShape, EXPOSE, HOST, HOST_GROUP, INSTANCE, SERVICE } from '../private/shape';
import { SeedNode } from '../seed/seed-node';
import { Service } from '../service/service';
import type { ServiceOptions } from '../service/service-options';
import type { ImaginaryClusterProps } from './cluster-props';
import type { IImaginaryCluster, ImaginaryClusterAttributes } from './cluster-reference';

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
  private readonly prefetch: boolean;
  /** In the order in which they were added: the number of a host follows from its place. */
  private readonly hostList: Array<HostFunction | HostInstance> = [];
  private readonly serviceList: Service[] = [];
  private readonly directory: Directory;
  private readonly exposedList: ExposedHost[] = [];

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
    this.directory = new Directory(this.block);
    this.logRetention = props.logRetention ?? logs.RetentionDays.ONE_MONTH;
    this.reserveConcurrency = props.reserveConcurrency ?? false;
    this.limits = this.checkedLimits(props);
    this.prefetch = props.prefetch ?? true;
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

  /** The cluster's host functions, in the order they were added. */
  public get hosts(): HostFunction[] {
    return this.hostList.filter((host) => host instanceof HostFunction);
  }

  /** The cluster's host instances, in the order they were added. */
  public get instances(): HostInstance[] {
    return this.hostList.filter((host) => host instanceof HostInstance);
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
    this.directory.requireFree(this, name, [name]); // before a second construct of that id says it less clearly
    return new HostFunction(this, name, { ...options, cluster: this });
  }

  /**
   * Adds a host that is not a function: it runs on a machine of its own and joins the cluster by itself, with `imaginary join` or by
   * `HostInstance.runOnInstance` and its like. Connections to it wait until it has joined.
   *
   * @param name the name that other hosts reach it by: lower-case letters, digits and hyphens
   * @param options what the cluster knows of it
   */
  public addInstance(name: string, options: InstanceOptions = {}): HostInstance {
    check.checkHostName(this, 'the name of a host', name);
    checkShape(this, ` of host '${name}'`, options, INSTANCE);
    this.directory.requireFree(this, name, [name]);
    return new HostInstance(this, name, { ...options, cluster: this });
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
    for (const name of names) this.directory.requireFree(this, name, [name]);
    const pool = pooled ? new HostPool(this, prefix, options) : undefined;
    if (pool) this.takeFunction(this, pool.functionName, `the pooled hosts '${prefix}'`);
    this.directory.addGroup(prefix, names, pinned, pool);
    return names.map((name) => this.addHost(name, each));
  }

  /**
   * Adds a service: one name and one address for several hosts. Each connection to it picks one that has room, and allocates one more
   * when all are full.
   *
   * @param name the name that hosts reach it by: lower-case letters, digits and hyphens
   * @param options which hosts serve it, and when one is full
   */
  public addService(name: string, options: ServiceOptions): Service {
    check.checkHostName(this, 'the name of a service', name);
    checkShape(this, ` of service '${name}'`, options, SERVICE);
    this.directory.requireFree(this, name, [name], 'service');
    return new Service(this, name, { ...options, cluster: this });
  }

  /**
   * Lets clients from outside of the cluster reach a host or a service, at a port of the seed. Their connections allocate it, as other
   * hosts' do, and the guest sees each client's real address. Each connection to a service picks one of its hosts.
   *
   * @param hostName the host: its name or an alias; or the name of a service. Either may be added later
   * @param options the port, and who may connect
   */
  public expose(hostName: string, options: ExposeOptions): ExposedHost {
    check.checkHostName(this, 'the name of an exposed host', hostName);
    checkShape(this, ` of the exposed host '${hostName}'`, { ...options, hostName, cluster: this }, EXPOSE);
    check.requireKnown(this, 'port', options.port, 'give it as a literal number');
    const id = `Exposed-${hostName}-${options.port}${options.protocol === Protocol.UDP ? '-udp' : ''}`;
    if (this.node.tryFindChild(id)) check.refuse(this, `port ${options.port} of host '${hostName}' is exposed twice`);
    const exposed = new ExposedHost(this, id, { ...options, cluster: this, hostName });
    this.exposedList.push(exposed);
    return exposed;
  }

  /**
   * Takes a host into the manifest. Called by its constructor.
   *
   * @internal
   */
  public _register(host: HostFunction, address?: string): void {
    this.directory.addHost(host, host.hostName, host.aliases, address);
    if (!this._poolOf(host.hostName)) this.takeFunction(host, host.functionName, `host '${host.hostName}'`);
    this.hostList.push(host);
  }

  /**
   * Takes a host instance into the manifest. Called by its constructor.
   *
   * @internal
   */
  public _registerInstance(host: HostInstance, address?: string): void {
    this.directory.addHost(host, host.hostName, host.aliases, address);
    this.hostList.push(host);
  }

  /**
   * Takes a service into the manifest. Called by its constructor.
   *
   * @internal
   */
  public _registerService(service: Service, address?: string): void {
    this.directory.addService(service, service.serviceName, address);
    this.serviceList.push(service);
  }

  /**
   * What the host shares its function through; undefined: the function is its own.
   *
   * @internal
   */
  public _poolOf(hostName: string): HostPool | undefined {
    return this.directory.poolOf(hostName);
  }

  /**
   * The virtual address of a host.
   *
   * @internal
   */
  public _addressOf(hostName: string): number {
    const address = this.directory.addressOf(hostName);
    if (address !== undefined) return address;
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

  /**
   * Secrets with certificates of exposed ports, for the seed.
   *
   * @internal
   */
  public _tlsSecrets(): Array<{ readonly name: string; readonly arn: string }> {
    return this.exposedList.flatMap(({ _tlsSecret }) => _tlsSecret ?? []);
  }

  private takeFunction(scope: Construct, name: string, owner: string): void {
    this.directory.takeFunction(scope, name, owner);
    this.seed._allowAllocation(name);
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
    const addresses = this.directory.addresses();
    return parseManifest({
      version: 1,
      cluster: { name: this.clusterName, cidr: this.cidr, limits: this.limits, prefetch: this.prefetch },
      seed: {
        port: this.seed.port,
        dataPort: this.seed.dataPort,
        ...(this.seed.leaseTable ? { standby: true } : {}),
      },
      hosts: this.hostList.map((host) => host._manifestHost(addresses.get(host.hostName)!)),
      // A cluster without services has the manifest that it always had.
      ...(this.serviceList.length === 0
        ? {}
        : {
            services: this.serviceList.map((s) => s._manifestService(addresses.get(requestOfService(s.serviceName))!)),
          }),
      ...(this.exposedList.length > 0 ? { exposes: this.exposedList.map((one) => one._manifestEntry()) } : {}),
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

/** A longer name keeps its start and gets a hash, so that it stays unique. */
function shortName(name: string): string {
  if (name.length <= CLUSTER_NAME_LENGTH) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${name.slice(0, CLUSTER_NAME_LENGTH - 1 - hash.length)}-${hash}`;
}
