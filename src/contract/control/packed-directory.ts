/**
 * The directory as it goes over the signalling channel. It is the one part of a `welcome` that grows with the cluster, the same for everybody and
 * full of repetition: packed, it has a tenth of its size.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { DirectoryEntry } from './frames';

/** Far more than the entries of any cluster. */
const MAX_BYTES = 64 * 1024 * 1024;

/** @returns base64 */
export function packDirectory(entries: readonly DirectoryEntry[]): string {
  return deflateRawSync(JSON.stringify(entries), { level: 9 }).toString('base64');
}

/** @throws an error of zlib or JSON: it was not packed by `packDirectory` */
export function unpackDirectory(packed: string): DirectoryEntry[] {
  return JSON.parse(inflateRawSync(Buffer.from(packed, 'base64'), { maxOutputLength: MAX_BYTES }).toString('utf8'));
}
