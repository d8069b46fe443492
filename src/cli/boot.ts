/** Boots a platform and keeps it until it is told to stop: in the background as `daemon`, or in the foreground. */
import { LocalError, type NetworkChoice, type Platform, readAssembly, readManifest, startPlatform } from '../local';
import { ManifestError } from '../manifest';
import { CliError } from './errors';

/** What to boot; the arguments of the hidden `daemon` command. */
export interface BootOptions {
  readonly state: string;
  readonly assembly?: string;
  readonly manifest?: string;
  readonly cluster?: string;
  readonly port?: number;
  readonly sandbox?: 'auto' | 'none';
  readonly network?: NetworkChoice;
  readonly nat?: readonly string[];
  /** Milliseconds. */
  readonly rtt?: number;
}

/** @throws CliError */
export async function boot(options: BootOptions, signal: AbortSignal): Promise<Platform> {
  const source = options.assembly ?? options.manifest!;
  try {
    const application = options.assembly ? readAssembly(options.assembly, options.cluster) : readManifest(source);
    return await startPlatform({
      application,
      stateDir: options.state,
      port: options.port,
      sandbox: options.sandbox,
      network: options.network,
      nat: options.nat,
      roundTrip: options.rtt,
      signal,
    });
  } catch (error) {
    throw asCliError(error, source);
  }
}

export function asCliError(error: unknown, source: string): unknown {
  if (error instanceof LocalError) {
    const next = error.code === 'several-clusters' ? 'imaginary up --cluster NAME' : error.next;
    return new CliError(error.code, error.message, { next, cause: error });
  }
  if (error instanceof ManifestError) {
    const message = `${source}: ${error.message}`;
    return new CliError('manifest', message, {
      next: 'Correct what is listed, then run imaginary up again.',
      cause: error,
    });
  }
  if ((error as Error).name === 'AbortError') {
    return new CliError('interrupted', 'interrupted while booting; nothing is left running', { exitCode: 130 });
  }
  return error;
}

/** Resolves when the process is asked to end, with the signal's name. */
export function interruption(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve(name));
  });
}

/** Until interrupted, or until the platform ends by itself; then everything is stopped. @throws what ended the platform */
export async function keep(platform: Platform, interrupted: Promise<unknown>): Promise<void> {
  try {
    await Promise.race([interrupted, platform.done]);
  } finally {
    await platform.stop();
  }
}
