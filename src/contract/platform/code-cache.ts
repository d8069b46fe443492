/**
 * What V8 has compiled of a bundle ahead, in a file beside it: written when the bundles are built, read by a cold start.
 * It is of one build of Node.js. V8 refuses another one's, and whoever reads it then compiles the bundle as ever.
 *
 *   a line of text, padded     which bundle, and which Node.js
 *   two numbers of 32 bits     bytes of the bundle, bytes of what follows
 *   V8's own
 */

/** A bundle's last line names its content, so that a cold start need not hash it. Bytes. */
export const BUNDLE_LINE = '//# '.length + 64 + '\n'.length;

const TEXT = 120;
/** Bytes before V8's own. */
export const CODE_CACHE_HEADER = TEXT + 8;

export interface CodeCacheSizes {
  /** Bytes of the bundle. */
  readonly bundle: number;
  /** Bytes of V8's own. */
  readonly code: number;
}

/** @param line the bundle's last one */
function textOf(line: Buffer): Buffer {
  const { version, arch, platform } = process;
  const text = Buffer.alloc(TEXT);
  line.copy(text);
  text.write(`${version} ${arch} ${platform}\n`, BUNDLE_LINE, 'latin1');
  return text;
}

export function codeCacheHeader(bundle: Buffer, code: number): Buffer {
  const header = Buffer.alloc(CODE_CACHE_HEADER);
  textOf(bundle.subarray(-BUNDLE_LINE)).copy(header);
  header.writeUInt32LE(bundle.length, TEXT);
  header.writeUInt32LE(code, TEXT + 4);
  return header;
}

export function codeCacheSizes(header: Buffer): CodeCacheSizes {
  return { bundle: header.readUInt32LE(TEXT), code: header.readUInt32LE(TEXT + 4) };
}

/** Whether the file is of the bundle with that last line, and of this Node.js. */
export function isCodeCacheOf(line: Buffer, header: Buffer): boolean {
  return header.subarray(0, TEXT).equals(textOf(line));
}

const BEFORE = Buffer.from('(function (exports, require, module, __filename, __dirname) { ');
const AFTER = Buffer.from('\n})');

/** A bundle of that size as it is compiled, which is as `require` does it. `bundle` is the room for it, to be filled. */
export function roomForModule(size: number): { readonly all: Buffer; readonly bundle: Buffer } {
  // In one piece: a string that is put together is two, and a cold start has room for few before memory is collected.
  const all = Buffer.allocUnsafeSlow(BEFORE.length + size + AFTER.length);
  BEFORE.copy(all);
  AFTER.copy(all, BEFORE.length + size);
  return { all, bundle: all.subarray(BEFORE.length, BEFORE.length + size) };
}

/** Where V8 notes in its cache which flags it was compiled with: four bytes. */
export const FLAGS_AT = 12;
