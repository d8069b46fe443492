import { existsSync } from 'node:fs';
import { layerFile } from '../../contract/platform/layer-files';
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
  const paths = layerFile('supervisor', 'native.node', dir);
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
