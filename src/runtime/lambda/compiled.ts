/**
 * Loads a bundle that lies beside this one with what V8 has compiled of it ahead (`scripts/code-cache.ts`). To compile
 * it is a third of what a cold start does beyond that of an empty function.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import {
  BUNDLE_LINE,
  CODE_CACHE_HEADER,
  codeCacheSizes,
  FLAGS_AT,
  isCodeCacheOf,
  roomForModule,
} from '../../contract/platform/code-cache';

/**
 * What Lambda's runtime starts Node.js with, by the function's memory. V8 takes a cache of other flags for one of
 * another V8; these change how much memory there is and not what is compiled.
 */
const OF_MEMORY = /^(--expose-gc|--max-(old-space|semi-space|http-header)-size(=\d+)?|\d+)$/;

/** @returns the bundle's exports; undefined: there is nothing of it that this Node.js can use */
export function loadCompiled(name: string, folder = __dirname): unknown {
  const file = join(folder, `${name}.js`);
  let found: Compiled | undefined;
  try {
    found = readCompiled(file, join(folder, `${name}.cache`));
  } catch {
    return undefined;
  }
  if (!found) return undefined;
  const { text, cachedData } = found;
  useFlags(cachedData);
  const script = new Script(text, { filename: file, cachedData });
  if (script.cachedDataRejected) return undefined;
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, folder);
  return module.exports;
}

interface Compiled {
  readonly text: string;
  readonly cachedData: Buffer;
}

/** Undefined: the cache is of another bundle, or of another Node.js. */
function readCompiled(file: string, cache: string): Compiled | undefined {
  const header = Buffer.alloc(CODE_CACHE_HEADER);
  const opened = openSync(cache, 'r');
  try {
    readSync(opened, header);
    const sizes = codeCacheSizes(header);
    const { all, bundle } = roomForModule(sizes.bundle);
    if (!readWhole(file, bundle) || !isCodeCacheOf(bundle.subarray(-BUNDLE_LINE), header)) return undefined;
    // Memory of its own: V8 copies what is not aligned.
    const cachedData = Buffer.allocUnsafeSlow(sizes.code);
    if (readSync(opened, cachedData) !== sizes.code) return undefined;
    // The bundles are ASCII.
    return { text: all.toString('latin1'), cachedData };
  } finally {
    closeSync(opened);
  }
}

function readWhole(file: string, into: Buffer): boolean {
  const opened = openSync(file, 'r');
  try {
    return readSync(opened, into) === into.length;
  } finally {
    closeSync(opened);
  }
}

/** Notes the flags of this process in the cache, if they differ in nothing that matters. */
function useFlags(cachedData: Buffer): void {
  const { NODE_OPTIONS = '' } = process.env;
  const flags = [...process.execArgv, ...NODE_OPTIONS.split(/\s+/).filter(Boolean)];
  if (flags.length === 0 || !flags.every((flag) => OF_MEMORY.test(flag.replace(/_/g, '-')))) return;
  new Script('').createCachedData().copy(cachedData, FLAGS_AT, FLAGS_AT, FLAGS_AT + 4);
}
