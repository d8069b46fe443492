/**
 * Loads a bundle that lies beside this one with what V8 has compiled of it ahead (`scripts/code-cache.ts`). To compile
 * it is a third of what a cold start does beyond that of an empty function.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { CODE_CACHE_HEADER, codeCacheHeader, FLAGS_AT, wrapModule } from '../../contract/platform/code-cache';

/**
 * What Lambda's runtime starts Node.js with, by the function's memory. V8 takes a cache of other flags for one of
 * another V8; these change how much memory there is and not what is compiled.
 */
const OF_MEMORY = /^(--expose-gc|--max-(old-space|semi-space|http-header)-size(=\d+)?|\d+)$/;

/** @returns the bundle's exports; undefined: there is nothing of it that this Node.js can use */
export function loadCompiled(name: string, folder = __dirname): unknown {
  const file = join(folder, `${name}.js`);
  let bundle: Buffer;
  let cachedData: Buffer | undefined;
  try {
    bundle = readFileSync(file);
    cachedData = readCache(join(folder, `${name}.cache`), bundle);
  } catch {
    return undefined;
  }
  if (!cachedData) return undefined;
  useFlags(cachedData);
  const script = new Script(wrapModule(bundle), { filename: file, cachedData });
  if (script.cachedDataRejected) return undefined;
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, folder);
  return module.exports;
}

/** Undefined: it is of another bundle, or of another Node.js. */
function readCache(file: string, bundle: Buffer): Buffer | undefined {
  const fd = openSync(file, 'r');
  try {
    const header = Buffer.alloc(CODE_CACHE_HEADER);
    readSync(fd, header);
    if (!header.equals(codeCacheHeader(bundle))) return undefined;
    // Memory of its own: V8 copies what is not aligned.
    const data = Buffer.allocUnsafeSlow(fstatSync(fd).size - CODE_CACHE_HEADER);
    return readSync(fd, data) === data.length ? data : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Notes the flags of this process in the cache, if they differ in nothing that matters. */
function useFlags(cachedData: Buffer): void {
  const { NODE_OPTIONS = '' } = process.env;
  const flags = [...process.execArgv, ...NODE_OPTIONS.split(/\s+/).filter(Boolean)];
  if (flags.length === 0 || !flags.every((flag) => OF_MEMORY.test(flag.replace(/_/g, '-')))) return;
  new Script('').createCachedData().copy(cachedData, FLAGS_AT, FLAGS_AT, FLAGS_AT + 4);
}
