import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeAddon } from './index';

/** The addon is not where it should be, or does not load here. */
export class NativeAddonError extends Error {
  readonly code = 'NATIVE_ADDON_NOT_LOADED';
  constructor(
    readonly paths: readonly string[],
    reason: string,
  ) {
    super(`the native addon could not be loaded: ${reason} (looked at ${paths.join(', ')})`);
    this.name = 'NativeAddonError';
  }
}

let loaded: NativeAddon | undefined;

/**
 * Loads the addon: from `dir` when given; else from beside the running bundle; else, when run from source, from the
 * built layer of this machine's architecture.
 * @throws NativeAddonError
 */
export function loadNative(dir?: string): NativeAddon {
  if (loaded) return loaded;
  const arch = process.arch === 'arm64' ? 'arm64' : 'x86_64';
  const layer = join(__dirname, '..', '..', 'lambda-layers', 'supervisor', arch, 'imaginary');
  const paths = (dir ? [dir] : [__dirname, layer]).map((folder) => join(folder, 'native.node'));
  const path = paths.find((p) => existsSync(p));
  if (!path) throw new NativeAddonError(paths, 'no such file');
  // Not `require`: the bundler must leave this file alone, and jest must not try to transform it.
  const module = { exports: {} };
  try {
    process.dlopen(module, path);
  } catch (error) {
    throw new NativeAddonError([path], (error as Error).message);
  }
  loaded = module.exports as NativeAddon;
  return loaded;
}
