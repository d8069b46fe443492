/** What a cluster's hosts are called, and which addresses and functions they have: each name once. */
import type { Construct } from 'constructs';
import { type AddressRequest, assignAddresses, type Cidr, requestOfService } from '../../contract/manifest';
import * as check from './checks';
import type { HostPool } from './pool';

const UNIQUE_NAMES = 'choose another: every name and alias is unique in a cluster';

export class Directory {
  private readonly nameOwners = new Map<string, string>();
  private readonly addressRequests: AddressRequest[] = [];
  private readonly services = new Set<string>();
  private readonly grouped = new Set<string>();
  private readonly pools = new Map<string, HostPool>();
  private readonly functionOwners = new Map<string, string>();

  constructor(private readonly block: Cidr) {}

  requireFree(scope: Construct, host: string, names: readonly string[], kind: 'host' | 'service' = 'host'): void {
    names.forEach((name, i) => {
      const owner = names.indexOf(name) < i ? host : this.nameOwners.get(name);
      if (owner === undefined) return;
      const by = this.services.has(owner) ? 'service' : 'host';
      check.refuse(scope, `the name '${name}' of ${kind} '${host}' is taken by ${by} '${owner}'; ${UNIQUE_NAMES}`);
    });
  }

  /** Addresses that follow one another, for hosts that are still to be added. */
  addGroup(prefix: string, names: readonly string[], pinned?: number, pool?: HostPool): void {
    for (const name of names) {
      this.grouped.add(name);
      if (pool) this.pools.set(name, pool);
    }
    this.addressRequests.push({ name: prefix, count: names.length, pinned });
  }

  addHost(scope: Construct, host: string, aliases: readonly string[], address?: string): void {
    const names = [host, ...aliases];
    this.requireFree(scope, host, names);
    for (const name of names) this.nameOwners.set(name, host);
    if (this.grouped.has(host)) return;
    const pinned = address === undefined ? undefined : check.pinnedAddress(scope, this.block, address);
    this.addressRequests.push({ name: host, pinned });
  }

  /** A service has a name and an address as a host has. */
  addService(scope: Construct, name: string, address?: string): void {
    this.requireFree(scope, name, [name], 'service');
    this.nameOwners.set(name, name);
    this.services.add(name);
    const pinned = address === undefined ? undefined : check.pinnedAddress(scope, this.block, address);
    this.addressRequests.push({ name: requestOfService(name), pinned });
  }

  takeFunction(scope: Construct, name: string, owner: string): void {
    const other = this.functionOwners.get(name);
    if (other !== undefined) {
      check.refuse(
        scope,
        `the function of ${owner} would be called '${name}', as that of ${other}; choose another name`,
      );
    }
    this.functionOwners.set(name, owner);
  }

  /** What the host shares its function through; undefined: the function is its own. */
  poolOf(host: string): HostPool | undefined {
    return this.pools.get(host);
  }

  /** @returns the virtual address of each host. @throws Error if they do not fit */
  addresses(): Map<string, number> {
    return assignAddresses(this.block, this.addressRequests);
  }

  addressOf(host: string): number | undefined {
    // An address depends on its own request alone, so the hosts that are still to come do not matter.
    for (const request of this.addressRequests) {
      const address = assignAddresses(this.block, [request]).get(host);
      if (address !== undefined) return address;
    }
    return undefined;
  }
}
