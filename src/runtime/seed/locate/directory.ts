import { createHash } from 'node:crypto';
import { encodeFrame, frameEncoder } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import { type DirectoryEntry, packDirectory } from '../../../contract/control/packed-directory';
import { HOST_LIMITS, type Manifest, type ManifestHost } from '../../../contract/manifest';

type Welcome = Extract<FromSeed, { type: 'welcome' }>;

/** Names and virtual addresses of all hosts. Static: what the manifest says. */
export interface Directory {
  readonly entries: readonly DirectoryEntry[];
  /**
   * A welcome, encoded: with these entries, which are the same for everybody, unless the joiner has them (it names
   * their digest).
   */
  welcome(rest: Omit<Welcome, 'directory' | 'directoryDigest'>, known: string | undefined): readonly Buffer[];
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
  const entries = manifest.hosts.map(({ name, aliases, address, allocationTimeout }, nodeId) => ({
    ...{ name, aliases, address, nodeId },
    ...(allocationTimeout !== HOST_LIMITS.allocationTimeout.default && { allocationTimeout }),
  }));
  const directoryDigest = createHash('sha256').update(JSON.stringify(entries)).digest('base64');
  const whole = frameEncoder('directory', packDirectory(entries));
  return {
    entries,
    welcome: (rest, known) => {
      const frame = { ...rest, directoryDigest };
      return known === directoryDigest ? [encodeFrame(frame)] : whole(frame);
    },
    find: (name) => byName.get(name),
  };
}
