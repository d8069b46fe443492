import { Token } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import { EXPOSE_LIMITS, MOST_ALLOWED, parseCidr } from '../../contract/manifest';
import type { ImaginaryCluster } from '../cluster/imaginary-cluster';
import { acknowledge } from '../private/acknowledge';
import * as check from '../private/checks';
import { checkShape, EXPOSE } from '../private/shape';
import { type ExposeOptions, Protocol } from './expose-options';

/** Properties of an ExposedHost. */
export interface ExposedHostProps extends ExposeOptions {
  /** The cluster that the host belongs to. */
  readonly cluster: ImaginaryCluster;

  /** The name of the host or the service. */
  readonly hostName: string;
}

/** A port of the seed that clients from outside of the cluster reach a host at. Made by `ImaginaryCluster.expose`. */
export class ExposedHost extends Construct {
  /** The name of the host or the service. */
  public readonly hostName: string;

  /** The port of the seed. */
  public readonly port: number;

  /** What the port takes. */
  public readonly protocol: Protocol;

  /** Where clients connect to: the seed's public address and the port. */
  public readonly endpoint: string;

  /**
   * The same at the other seed, which takes over when the first is gone.
   *
   * @default - none: `seedStandby` is not set
   */
  public readonly standbyEndpoint?: string;

  /**
   * The secret with its certificate, and what the manifest calls it.
   *
   * @internal
   */
  public readonly _tlsSecret?: { readonly name: string; readonly arn: string };

  private readonly entry: { readonly [field: string]: unknown };

  constructor(scope: Construct, id: string, props: ExposedHostProps) {
    super(scope, id);
    checkShape(this, '', props, EXPOSE);
    const { seed } = props.cluster;
    const whole = (name: keyof typeof EXPOSE_LIMITS & keyof ExposeOptions, value: number | undefined) =>
      value === undefined ? undefined : check.checkWhole(this, name, value, EXPOSE_LIMITS[name]);
    this.hostName = props.hostName;
    this.port = whole('port', props.port)!;
    this.protocol = props.protocol ?? Protocol.TCP;
    this.checkProtocol(props);
    if (this.protocol === Protocol.TCP && [seed.port, seed.dataPort].includes(this.port))
      check.refuse(this, `port is ${this.port}, which is the seed's own; choose another, or another 'seedPort'`);
    const blocks = this.allowed(props.allowFrom);
    check.requireKnown(this, 'serverNames', props.serverNames, 'give them as literal strings');
    const secret = props.tls?._secret;
    if (secret) {
      secret.grantRead(seed.role);
      this._tlsSecret = { name: `${this.hostName}-${this.port}`, arn: secret.secretArn };
    }
    this.entry = {
      host: props.hostName,
      port: this.port,
      protocol: props.protocol,
      hostPort: whole('hostPort', props.hostPort),
      allowFrom: blocks,
      serverNames: props.serverNames,
      proxyProtocol: props.proxyProtocol,
      tls: props.tls?._files ?? (this._tlsSecret && { secret: this._tlsSecret.name }),
      maxConnectionsPerClient: whole('maxConnectionsPerClient', props.maxConnectionsPerClient),
      maxNewConnectionsPerMinutePerClient: whole(
        'maxNewConnectionsPerMinutePerClient',
        props.maxNewConnectionsPerMinutePerClient,
      ),
      maxAllocationsPerMinutePerClient: whole(
        'maxAllocationsPerMinutePerClient',
        props.maxAllocationsPerMinutePerClient,
      ),
      flowTimeout:
        props.flowTimeout && check.milliseconds(this, 'flowTimeout', props.flowTimeout, EXPOSE_LIMITS.flowTimeout),
      allocationTimeout:
        props.allocationTimeout &&
        check.milliseconds(this, 'allocationTimeout', props.allocationTimeout, EXPOSE_LIMITS.allocationTimeout),
    };
    this.endpoint = `${seed.address}:${this.port}`;
    this.standbyEndpoint = seed.standbyElasticIp && `${seed.standbyElasticIp.attrPublicIp}:${this.port}`;
    this.allow(seed.connections, blocks ?? ['0.0.0.0/0']);
  }

  /**
   * Its entry of the manifest.
   *
   * @internal
   */
  public _manifestEntry(): unknown {
    return this.entry;
  }

  private checkProtocol({ serverNames, proxyProtocol, flowTimeout }: ExposedHostProps): void {
    const only = (name: string, protocol: Protocol) =>
      check.refuse(this, `${name} is set, and protocol is ${this.protocol}; ${name} is for ${protocol} only`);
    if (this.protocol === Protocol.TCP) {
      if (flowTimeout) only('flowTimeout', Protocol.UDP);
      return;
    }
    if (serverNames) only('serverNames', Protocol.TCP);
    if (proxyProtocol) only('proxyProtocol', Protocol.TCP);
  }

  private allowed(blocks: string[] | undefined): string[] | undefined {
    check.requireKnown(this, 'allowFrom', blocks, 'give the blocks as literal strings');
    if (blocks === undefined) return undefined;
    if (blocks.length === 0 || blocks.length > MOST_ALLOWED)
      check.refuse(this, `allowFrom has ${blocks.length} blocks; allowed: 1 to ${MOST_ALLOWED}`);
    for (const block of blocks) {
      if (Token.isUnresolved(block)) check.requireKnown(this, 'allowFrom', block, 'give it as a literal string');
      if (!parseCidr(block))
        check.refuse(
          this,
          `allowFrom has '${block}'; allowed: IPv4 blocks with no host bits set, like '198.51.100.0/24'`,
        );
    }
    return blocks;
  }

  /** A rule that two hosts of a port have in common is added once. */
  private allow(connections: ec2.Connections, blocks: readonly string[]): void {
    const port = this.protocol === Protocol.UDP ? ec2.Port.udp(this.port) : ec2.Port.tcp(this.port);
    for (const block of blocks) {
      connections.allowFrom(ec2.Peer.ipv4(block), port, `clients of exposed hosts at port ${this.port}`);
    }
    if (!blocks.includes('0.0.0.0/0')) return;
    for (const group of connections.securityGroups) {
      acknowledge(group, {
        'AwsSolutions-EC23': `Port ${this.port} is exposed to everybody: 'allowFrom' does not limit it.`,
      });
    }
  }
}
