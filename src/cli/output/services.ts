/** Services of a cluster, for people and for programs. */
import type { Manifest } from '../../contract/manifest';

export interface ShownService {
  readonly name: string;
  readonly address: string;
  /** The hosts that serve it: instances first. */
  readonly hosts: readonly string[];
}

export function servicesOf({ services }: Pick<Manifest, 'services'>): ShownService[] {
  return services.map(({ name, address, instances, hosts }) => ({ name, address, hosts: [...instances, ...hosts] }));
}

export function serviceTexts(services: readonly ShownService[]): string[] {
  return services.map(({ name, address, hosts }) => `${name} (${address}) is a service of ${hosts.join(', ')}`);
}
