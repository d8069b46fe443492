import { createHash } from 'node:crypto';
import { encodeFrame, frameEncoder } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import { type DirectoryEntry, packDirectory } from '../../../contract/control/packed-directory';
import type { ServiceTerms } from '../../../contract/control/services';
import { HOST_LIMITS, type Manifest, type ManifestHost, type ManifestService } from '../../../contract/manifest';

type Welcome = Extract<FromSeed, { type: 'welcome' }>;

/** Names and virtual addresses of all hosts and services. Static: what the manifest says. */
export interface Directory {
  readonly entries: readonly DirectoryEntry[];
  /**
   * A welcome, encoded: with these entries, which are the same for everybody, unless the joiner has them (it names
   * their digest).
   */
  welcome(rest: Omit<Welcome, 'directory' | 'directoryDigest'>, known: string | undefined): readonly Buffer[];
  /** A host by its name, an alias, `node-ID` or `NAME.CLUSTER`. */
  find(name: string): { readonly host: ManifestHost; readonly nodeId: number } | undefined;
  /** A service by its name or `NAME.CLUSTER`. @returns its name */
  serviceOf(name: string): string | undefined;
}

export function directoryOf(manifest: Manifest): Directory {
  const byName = new Map<string, { host: ManifestHost; nodeId: number }>();
  manifest.hosts.forEach((host, nodeId) => {
    const found = { host, nodeId };
    for (const name of [host.name, ...host.aliases]) {
      byName.set(name, found);
      byName.set(`${name}.${manifest.cluster.name.toLowerCase()}`, found);
    }
    byName.set(`node-${nodeId}`, found);
  });
  const withTimeout = (allocationTimeout: number) =>
    allocationTimeout !== HOST_LIMITS.allocationTimeout.default && { allocationTimeout };
  const hosts = manifest.hosts.map(({ name, aliases, address, allocationTimeout }, nodeId) => ({
    ...{ name, aliases, address, nodeId },
    ...withTimeout(allocationTimeout),
  }));
  const services = manifest.services.map((service, i) => ({
    ...{ name: service.name, aliases: [], address: service.address, nodeId: hosts.length + i },
    ...withTimeout(timeoutOf(service, manifest)),
    service: termsOf(service),
  }));
  const serviceOf = new Map<string, string>();
  for (const { name } of services) {
    for (const known of [name, `${name}.${manifest.cluster.name.toLowerCase()}`]) serviceOf.set(known, name);
  }
  const entries: readonly DirectoryEntry[] = [...hosts, ...services];
  const directoryDigest = createHash('sha256').update(JSON.stringify(entries)).digest('base64');
  const whole = frameEncoder('directory', packDirectory(entries));
  return {
    entries,
    welcome: (rest, known) => {
      const frame = { ...rest, directoryDigest };
      return known === directoryDigest ? [encodeFrame(frame)] : whole(frame);
    },
    find: (name) => byName.get(name),
    serviceOf: (name) => serviceOf.get(name),
  };
}

/** A connect to a service may wait as long as one to any of its hosts. */
function timeoutOf({ hosts, instances }: ManifestService, manifest: Manifest): number {
  const members = new Set([...hosts, ...instances]);
  return Math.max(...manifest.hosts.flatMap((host) => (members.has(host.name) ? host.allocationTimeout : [])));
}

function termsOf({ hosts, instances, maxConnections, maxCpu, sticky }: ManifestService): ServiceTerms {
  const cpu = maxCpu === undefined ? {} : { maxCpu };
  return { members: [...instances, ...hosts], instances: instances.length, maxConnections, ...cpu, sticky };
}
