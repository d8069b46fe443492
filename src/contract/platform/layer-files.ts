/** Where a file of a layer is, whether the code that needs it runs bundled or from source. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Paths that may hold it, in the order to try them: in `dir` when given; else beside the running code, as in a layer;
 * else in the built layer of this machine's architecture, in the nearest folder above the running code that has layers.
 */
export function layerFile(layer: 'supervisor' | 'shim', name: string, dir?: string): readonly string[] {
  if (dir) return [join(dir, name)];
  const beside = join(__dirname, name);
  if (existsSync(beside)) return [beside];
  const arch = process.arch === 'arm64' ? 'arm64' : 'x86_64';
  let root = dirname(__dirname);
  while (!existsSync(join(root, 'lambda-layers')) && dirname(root) !== root) root = dirname(root);
  return [beside, join(root, 'lambda-layers', layer, arch, 'imaginary', name)];
}
