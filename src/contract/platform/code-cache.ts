/**
 * What V8 has compiled of a bundle ahead, in a file beside it: written when the bundles are built, read by a cold start.
 * It is of one build of Node.js. V8 refuses another one's, and whoever reads it then compiles the bundle as ever.
 */
import { createHash } from 'node:crypto';

/** Bytes before V8's own. */
export const CODE_CACHE_HEADER = 128;

/** The file's first bytes: which bundle it is of, and which Node.js has made it. */
export function codeCacheHeader(source: Uint8Array): Buffer {
  const digest = createHash('sha256').update(source).digest('hex');
  const { version, arch, platform } = process;
  const header = Buffer.alloc(CODE_CACHE_HEADER);
  header.write(`${[digest, version, arch, platform].join(' ')}\n`, 'latin1');
  return header;
}

/** The bundle as it is compiled: as `require` does. */
export function wrapModule(source: string): string {
  return `(function (exports, require, module, __filename, __dirname) { ${source}\n})`;
}

/** Where V8 notes in its cache which flags it was compiled with: four bytes. */
export const FLAGS_AT = 12;
