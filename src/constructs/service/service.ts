import { Construct } from 'constructs';
import { formatAddress, type ManifestService, requestOfService, SERVICE_LIMITS } from '../../contract/manifest';
import type { ImaginaryCluster } from '../cluster/imaginary-cluster';
import type { HostFunction } from '../host/host-function';
import * as check from '../private/checks';
import { checkShape, SERVICE_PROPS } from '../private/shape';
import type { ServiceOptions } from './service-options';

/** Properties of a Service. */
export interface ServiceProps extends ServiceOptions {
  /** The cluster that the service belongs to. */
  readonly cluster: ImaginaryCluster;

  /**
   * The name that hosts reach the service by.
   *
   * @default - the construct's id
   */
  readonly serviceName?: string;
}

/**
 * One name and one virtual address for several hosts: each connection picks one of them. It takes no resources.
 *
 * Usually made by `ImaginaryCluster.addService`.
 */
export class Service extends Construct {
  /** The service's name in the cluster. */
  public readonly serviceName: string;

  private readonly cluster: ImaginaryCluster;
  private readonly hostList: readonly HostFunction[];
  private readonly fixed: Omit<ManifestService, 'address' | 'hosts'>;

  constructor(scope: Construct, id: string, props: ServiceProps) {
    super(scope, id);
    checkShape(this, '', props, SERVICE_PROPS);
    this.cluster = props.cluster;
    this.serviceName = props.serviceName ?? id;
    const prop = props.serviceName === undefined ? 'the name of the service (the id)' : 'serviceName';
    check.checkHostName(this, prop, this.serviceName);
    this.hostList = [...(props.hosts ?? [])];
    for (const { hostName } of this.hostList) {
      if (this.cluster.hosts.some((host) => host.hostName === hostName && this.hostList.includes(host))) continue;
      check.refuse(this, `hosts has '${hostName}', which is a host of another cluster; allowed: hosts of this one`);
    }
    const instances = props.instances ?? [];
    check.requireKnown(this, 'instances', instances, 'give them as literal strings');
    for (const [i, name] of instances.entries()) check.checkHostName(this, `instances[${i}]`, name);
    if (this.hostList.length + instances.length === 0) {
      check.refuse(this, `service '${this.serviceName}' has no members; required: a host in 'hosts' or 'instances'`);
    }
    const { maxConnections = SERVICE_LIMITS.maxConnections.default, maxCpu, sticky = false } = props;
    this.fixed = {
      name: this.serviceName,
      instances,
      maxConnections: check.checkWhole(this, 'maxConnections', maxConnections, SERVICE_LIMITS.maxConnections),
      ...(maxCpu === undefined ? {} : { maxCpu: check.checkWhole(this, 'maxCpu', maxCpu, SERVICE_LIMITS.maxCpu) }),
      sticky,
    };
    this.cluster._registerService(this, props.address);
  }

  /** The hosts that serve it, without the instances. */
  public get hosts(): HostFunction[] {
    return [...this.hostList];
  }

  /** The service's virtual address. */
  public get virtualAddress(): string {
    return formatAddress(this.cluster._addressOf(requestOfService(this.serviceName)));
  }

  /**
   * The service's entry in the manifest.
   *
   * @internal
   */
  public _manifestService(address: number): ManifestService {
    const hosts = this.hostList.map(({ hostName }) => hostName);
    return { ...this.fixed, hosts, address: formatAddress(address) };
  }
}
