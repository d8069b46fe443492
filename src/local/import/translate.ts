/**
 * Without a file system of its own, a function's code and layers are where they are: what names /var/task or /opt is
 * translated.
 */
import type { Manifest, ManifestHost } from '../../contract/manifest';
import { TASK_ROOT } from '../sandbox/folders';
import type { LocalFunction } from '../types';

export function translateManifest(
  manifest: Manifest,
  functions: readonly LocalFunction[],
  opt: (layers: readonly string[]) => string,
): Manifest {
  const hosts = manifest.hosts.map((host): ManifestHost => {
    const fn = functions.find((f) => f.name === host.functionName);
    if (!fn) return host;
    const places: ReadonlyArray<readonly [string, string]> = [
      [TASK_ROOT, fn.code],
      ['/opt', opt(fn.layers)],
    ];
    const translate = (text: string) => places.reduce((result, [from, to]) => replacePath(result, from, to), text);
    return {
      ...host,
      ...(host.workingDirectory === undefined ? {} : { workingDirectory: translate(host.workingDirectory) }),
      remappedFiles: Object.fromEntries(
        Object.entries(host.remappedFiles).map(([path, target]) => [path, translate(target)]),
      ),
      ...(host.command ? { command: host.command.map(translate) } : {}),
      environment: Object.fromEntries(
        Object.entries(host.environment).map(([name, value]) => [name, translate(value)]),
      ),
    };
  });
  return { ...manifest, hosts };
}

/** Wherever the folder is named as a whole path, or as the beginning of one. */
function replacePath(text: string, from: string, to: string): string {
  return text.replaceAll(new RegExp(`(?<![\\w./-])${from}(?![\\w.-])`, 'g'), () => to);
}
