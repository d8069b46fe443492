/** Boots a platform and keeps it until it is stopped: in the background as `daemon`, or in the foreground. */
import { appendFileSync, closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ManifestError } from '../../contract/manifest';
import { LocalError, type Platform, type PlatformFlags, readAssembly, readManifest, startPlatform } from '../../local';
import { CliError, EXIT } from '../output/errors';
import { bootLine } from '../output/log-line';
import { withState } from './state';

/** What to boot; the arguments of the hidden `daemon` command. */
export interface BootOptions extends PlatformFlags {
  readonly state: string;
  readonly assembly?: string;
  readonly manifest?: string;
  readonly cluster?: string;
}

/** @throws CliError */
export async function boot(options: BootOptions, signal: AbortSignal): Promise<Platform> {
  const { state, assembly, manifest, cluster, ...flags } = options;
  const source = assembly ?? manifest!;
  try {
    const application = assembly ? readAssembly(assembly, cluster) : readManifest(source);
    markLogs(state);
    return await startPlatform({ ...flags, application, stateDir: state, signal });
  } catch (error) {
    throw asCliError(error, source, options);
  }
}

/** Logs go on from one cluster of a state directory to the next: a line in each says where. */
function markLogs(state: string): void {
  const folder = join(state, 'logs');
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    if (!name.endsWith('.log') || statSync(file).size === 0) continue;
    appendFileSync(file, `${endsWithLine(file) ? '' : '\n'}${bootLine(basename(name, '.log'))}\n`);
  }
}

function endsWithLine(file: string): boolean {
  const fd = openSync(file, 'r');
  try {
    const last = Buffer.alloc(1);
    readSync(fd, last, 0, 1, fstatSync(fd).size - 1);
    return last.toString() === '\n';
  } finally {
    closeSync(fd);
  }
}

export function asCliError(error: unknown, source: string, { state, cluster }: BootOptions): unknown {
  if (error instanceof LocalError) {
    const next = error.code === 'several-clusters' ? withState('imaginary up --cluster NAME', state) : error.next;
    // What is wrong with an option's value.
    const usage =
      error.code === 'nat' || error.code === 'certificate' || (error.code === 'no-cluster' && cluster !== undefined);
    const exitCode = usage ? EXIT.usage : EXIT.failure;
    return new CliError(error.code, error.message, { next, exitCode, cause: error });
  }
  if (error instanceof ManifestError) {
    const message = `${source}: ${error.message}`;
    return new CliError('manifest', message, {
      next: `Correct what is listed, then run ${withState('imaginary up', state)} again.`,
      cause: error,
    });
  }
  if ((error as Error).name === 'AbortError') {
    return new CliError('interrupted', 'interrupted while booting; nothing is left running', { exitCode: 130 });
  }
  return error;
}

/** Resolves with the name of the signal that ends the process. */
export function interruption(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve(name));
  });
}

/**
 * Until interrupted, or until the platform ends by itself; then everything is stopped. @throws what ended the platform
 */
export async function keep(platform: Platform, interrupted: Promise<unknown>): Promise<void> {
  try {
    await Promise.race([interrupted, platform.done]);
  } finally {
    await platform.stop();
  }
}
