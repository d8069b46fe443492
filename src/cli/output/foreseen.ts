/**
 * What is known before anything runs, and would surprise later: values that nobody has, programs that cannot be guests.
 */
import { join } from 'node:path';
import type { ManifestHost } from '../../contract/manifest';
import { type LocalApplication, readAssembly, readManifest } from '../../local';
import { inspectCommand, ProgramError } from '../../runtime/supervisor/guest/program';

/** Where a function's code is, for its guests. */
const TASK = '/var/task';

/** One line each. What cannot be read is reported by the boot itself. */
export function foreseen(source: { assembly?: string; manifest?: string }, cluster: string | undefined): string[] {
  let application: LocalApplication;
  try {
    application = source.assembly ? readAssembly(source.assembly, cluster) : readManifest(source.manifest!);
  } catch {
    return [];
  }
  return application.manifest.hosts.flatMap((host) => {
    const fn = application.functions.find(({ name }) => name === host.functionName);
    if (!fn) return [];
    const values = (fn.unknown ?? []).map((name) => `${host.name}: ${name} (known only after deployment)`);
    return [...values, ...unfit(host, fn.code)];
  });
}

/**
 * A program that comes with the function's code. The machine's own may be others on Lambda, and are judged when they
 * start.
 */
function unfit(host: ManifestHost, code: string): string[] {
  const [program] = host.command ?? [];
  const inCode = program?.startsWith(`${TASK}/`) ? program.slice(TASK.length + 1) : program;
  const own = program !== undefined && (program !== inCode || (program.includes('/') && !program.startsWith('/')));
  if (!own || program in host.remappedFiles || host.workingDirectory !== TASK) return [];
  try {
    inspectCommand([join(code, inCode)]);
    return [];
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    return [`${host.name}: its program cannot be started: ${error.message}`];
  }
}
