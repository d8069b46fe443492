/**
 * What V8 has compiled of a bundle ahead, in a file beside it: written when the bundles are built, read by a cold start.
 * It is of one build of Node.js. V8 refuses another one's, and whoever reads it then compiles the bundle as ever.
 */

/** A bundle's last line names its content, so that a cold start need not hash it. Bytes. */
export const BUNDLE_LINE = '//# '.length + 64 + '\n'.length;

/** Bytes before V8's own. */
export const CODE_CACHE_HEADER = 128;

/** The file's first bytes: which bundle it is of, and which Node.js has made it. */
export function codeCacheHeader(bundle: Buffer): Buffer {
  const { version, arch, platform } = process;
  const header = Buffer.alloc(CODE_CACHE_HEADER);
  bundle.copy(header, 0, bundle.length - BUNDLE_LINE);
  header.write(`${version} ${arch} ${platform}\n`, BUNDLE_LINE, 'latin1');
  return header;
}

const BEFORE = Buffer.from('(function (exports, require, module, __filename, __dirname) { ');
const AFTER = Buffer.from('\n})');

/** The bundle as it is compiled, which is as `require` does it. The bundles are ASCII. */
export function wrapModule(bundle: Buffer): string {
  // In one piece: a string that was put together is two, and a cold start has room for few before memory is collected.
  return Buffer.concat([BEFORE, bundle, AFTER]).toString('latin1');
}

/** Where V8 notes in its cache which flags it was compiled with: four bytes. */
export const FLAGS_AT = 12;
