import type { Manifest, ManifestHost } from '../../manifest';
import { frameEncoder } from '../protocol/frame-codec';
import type { DirectoryEntry, FromSeed } from '../protocol/frames';

type Welcome = Extract<FromSeed, { type: 'welcome' }>;

/** Names and virtual addresses of all hosts. Static: what the manifest says. */
export interface Directory {
  readonly entries: readonly DirectoryEntry[];
  /** A welcome with these entries, encoded. They are by far its largest part, and the same for everybody. */
  welcome(rest: Omit<Welcome, 'directory'>): readonly Buffer[];
  /** A host by its name, an alias, `node-ID` or `NAME.CLUSTER`. */
  find(name: string): { readonly host: ManifestHost; readonly nodeId: number } | undefined;
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
  const entries = manifest.hosts.map(({ name, aliases, address }, nodeId) => ({ name, aliases, address, nodeId }));
  return {
    entries,
    welcome: frameEncoder('directory', entries),
    find: (name) => byName.get(name),
  };
}
