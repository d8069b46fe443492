/** Which folders of this machine a sandbox sees where: the launcher's options for the file system. */
import { readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';

export const TASK_ROOT = '/var/task';
export const RUNTIME_ROOT = '/var/runtime';
export const NODE = '/var/lang/bin/node';

export interface SandboxFolders {
  readonly code: string;
  readonly opt: string;
  readonly runtime: string;
  readonly stateDir: string;
}

export function bindOptions({ code, opt, runtime, stateDir }: SandboxFolders): string[] {
  return [
    ...codeOptions(code, stateDir),
    ...bind(opt, '/opt'),
    ...bind(runtime, RUNTIME_ROOT),
    ...bind(process.execPath, NODE),
    ...resolverOptions(),
  ];
}

const bind = (source: string, target: string) => ['--bind-ro', source, target];

/**
 * The code as a whole, or entry by entry: where the state directory (with the cluster's key) is among them, and where
 * the folder itself is closed to others. On Lambda too that folder is the platform's, and only what is in it is the
 * user's.
 */
function codeOptions(code: string, stateDir: string): string[] {
  const folder = realpathSync(code);
  const closed = (statSync(folder).mode & 0o005) !== 0o005;
  if (!closed && !`${realpathSync(stateDir)}${sep}`.startsWith(`${folder}${sep}`)) return bind(folder, TASK_ROOT);
  const entries = readdirSync(folder, { withFileTypes: true });
  const seen = entries.filter((entry) => resolve(folder, entry.name) !== realpathSync(stateDir));
  return [
    '--dir',
    TASK_ROOT,
    ...seen.flatMap((entry) => {
      const [source, target] = [join(folder, entry.name), join(TASK_ROOT, entry.name)];
      if (entry.isSymbolicLink()) return ['--symlink', readlinkSync(source), target];
      return entry.isFile() || entry.isDirectory() ? bind(source, target) : [];
    }),
  ];
}

/** /etc/resolv.conf is often a link out of /etc. */
function resolverOptions(): string[] {
  try {
    const real = realpathSync('/etc/resolv.conf');
    return /^\/(etc|usr)\//.test(real) ? [] : bind(real, real);
  } catch {
    return [];
  }
}
