/**
 * The directory as a `welcome` carries it. It is the one part of that frame that grows with the cluster, the same for
 * every member and full of repetition: packed, it has a tenth of its size. Its entries are not checked when they are
 * unpacked: the seed has them from the manifest, and a check would cost the cold start of a host in a large cluster
 * more than all the other ones.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { ServiceTerms } from './services';

export interface DirectoryEntry {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly address: string;
  /** The number in the canonical name `node-ID`: the host's place in the manifest. A service has no such name. */
  readonly nodeId: number;
  /** How long a connect to it waits, in milliseconds. Absent: the manifest's default. */
  readonly allocationTimeout?: number;
  /** It is a service, and no host. */
  readonly service?: ServiceTerms;
}

/** Far more than the entries of any cluster. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Below, it is not packed: for a host that starts, unpacking takes longer than the bytes on the way do. */
const FEW_BYTES = 16 * 1024;

/** @returns base64, or JSON where that is short */
export function packDirectory(entries: readonly DirectoryEntry[]): string {
  const text = JSON.stringify(entries);
  return text.length < FEW_BYTES ? text : deflateRawSync(text, { level: 9 }).toString('base64');
}

/** @throws an error of zlib or JSON: it was not packed by `packDirectory` */
export function unpackDirectory(packed: string): DirectoryEntry[] {
  // No base64 begins so.
  if (packed.startsWith('[')) return JSON.parse(packed);
  return JSON.parse(inflateRawSync(Buffer.from(packed, 'base64'), { maxOutputLength: MAX_BYTES }).toString('utf8'));
}
