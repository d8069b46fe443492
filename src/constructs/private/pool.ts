/**
 * Hosts that share one function. Lambda's tenant isolation gives each of them sandboxes of its own: the host's name is
 * the tenant. A template of any number of them has the resources of one host.
 */
import { Annotations } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { POOL } from '../../contract/manifest';
import type { HostGroupOptions } from '../host/host-options';
import * as check from './checks';
import { createResources, type HostResources, type ResourcesRequest } from './resources';

export class HostPool extends Construct {
  readonly functionName: string;
  private made: HostResources | undefined;
  /** Values that the function's environment has for the hosts, and the host that gave each. */
  private readonly deployed = new Map<string, { readonly value: string; readonly host: string }>();

  constructor(
    private readonly cluster: Construct & ResourcesRequest['cluster'],
    private readonly prefix: string,
    options: HostGroupOptions,
  ) {
    // No host can have this id: the names of hosts are lower-case.
    super(cluster, `Pool-${prefix}`);
    this.functionName = `${cluster.clusterName}-${prefix}`;
    check.checkFunctionName(cluster, this.functionName, cluster.clusterName, prefix);
    if (options.reserveConcurrency) {
      check.refuse(
        cluster,
        `reserveConcurrency of '${prefix}' is true beside 'pooled'; allowed: false. A pooled function runs once for each ` +
          `of its hosts, and Lambda reserves nothing for one of them: leave 'reserveConcurrency' or 'pooled' out`,
      );
    }
    if (options.count > POOL.sandboxes) {
      const quota = `Lambda keeps ${POOL.sandboxes} sandboxes of such a function for each 1,000 concurrent executions`;
      Annotations.of(cluster).addWarningV2(
        'cdk-imaginary-machines:pool-size',
        `'${prefix}' has ${options.count} pooled hosts. ${quota}, suspended ones included: have the quota raised, or split the hosts`,
      );
    }
  }

  /** The same for every host. The first one's call makes them. */
  resources(options: ResourcesRequest['options'], entry: ResourcesRequest['entry']): HostResources {
    this.made ??= createResources(this, {
      ...{ cluster: this.cluster, whose: `pooled hosts ${this.prefix}`, options, entry },
      reserveConcurrency: false,
      tenancyConfig: lambda.TenancyConfig.PER_TENANT,
    });
    return this.made;
  }

  /** A function has one environment, so one value of a variable. */
  requireSame(scope: Construct, host: string, name: string, value: string): void {
    const other = this.deployed.get(name);
    if (other && other.value !== value) {
      check.refuse(
        scope,
        `${name} in the environment of '${host}' is another value known only at deployment than that of '${other.host}', ` +
          `and both are in the function '${this.functionName}'; use one value, another name, or leave 'pooled' out`,
      );
    }
    this.deployed.set(name, { value, host });
  }
}
