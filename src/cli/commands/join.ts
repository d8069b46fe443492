import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { constants, tmpdir, userInfo } from 'node:os';
import { join as joinPath } from 'node:path';
import { parseClusterKeys } from '../../contract/control/psk';
import { commandInside, type NatInfo, takeSlot } from '../../local';
import { ControlError } from '../../runtime/control/index';
import {
  RunDirBusyError,
  runInstance,
  SupervisorError,
  type WaitFor,
} from '../../runtime/supervisor/instance/instance';
import type { Log } from '../../runtime/supervisor/run/log';
import type { CommonOptions } from '../options';
import { CliError, reportOf, usageError } from '../output/errors';
import { builtFolders } from '../target/client';
import { clusterKeySource } from '../target/cluster-key';
import { findHost, type RunningCluster, runningCluster } from '../target/state';
import { ownFailure, run } from './exec';

export interface JoinOptions extends CommonOptions {
  readonly name: string;
  readonly seed?: string;
  readonly standby?: string;
  readonly key?: string;
  readonly wait?: WaitFor;
  /** Milliseconds. */
  readonly waitTimeout: number;
  readonly runDir?: string;
  /** Network `nat`: started by `inSlot`. */
  readonly inside?: boolean;
}

/** Where the cluster is, and what proves that this instance may join it. */
interface Target {
  readonly seed: string;
  readonly standby?: string;
  readonly clusterKey: () => Promise<Uint8Array>;
  readonly flat?: number;
}

/** Runs a host instance to its end. Returns the exit code of its guest. */
export async function join(command: readonly string[], options: JoinOptions): Promise<number> {
  try {
    if (options.seed !== undefined) return await runHere(command, options, remote(options, options.seed));
    for (const flag of ['key', 'standby'] as const) {
      if (options[flag] !== undefined) throw usageError(`--${flag} is given without --seed`, 'Where is the cluster?');
    }
    const cluster = runningCluster(options.state);
    checkInstance(cluster, options.name);
    const { network } = cluster;
    if (network.kind === 'nat' && !options.inside) return await inSlot(cluster, network, command, options);
    const flat = network.kind === 'flat' ? network.number : undefined;
    const clusterKey = async () => parseClusterKeys(await readFile(cluster.keyFile, 'utf8'))[0];
    const { seed, standby } = cluster;
    return await runHere(command, options, { seed, standby, clusterKey, flat });
  } catch (error) {
    throw ownFailure(explained(error, options));
  }
}

function remote({ key, standby, state }: JoinOptions, seed: string): Target {
  if (state !== undefined)
    throw usageError('--state is given beside --seed', 'One of them says which cluster is meant.');
  return { seed, standby, clusterKey: clusterKeySource(key) };
}

function checkInstance({ manifest }: RunningCluster, name: string): void {
  const host = findHost(manifest, name);
  if (host.kind === 'instance') return;
  const instances = manifest.hosts.filter(({ kind }) => kind === 'instance').map((other) => other.name);
  const known = instances.length === 0 ? 'The cluster has none.' : `Its host instances: ${instances.join(', ')}.`;
  throw usageError(`'${name}' is a host function, which the seed starts; allowed: the name of a host instance`, known);
}

/** Takes the host's slot in the network and does it all again in there. */
async function inSlot(cluster: RunningCluster, network: NatInfo, command: readonly string[], options: JoinOptions) {
  const { name } = findHost(cluster.manifest, options.name);
  const slot = await takeSlot(network, name).catch((error: Error) => {
    throw new CliError('network', error.message, { cause: error });
  });
  const { wait, waitTimeout, runDir, json } = options;
  const again = [
    ...['join', '--inside', '--state', cluster.stateDir, '--name', name, '--wait-timeout', String(waitTimeout / 1_000)],
    ...(wait ? ['--wait', 'count' in wait ? String(wait.count) : wait.names.join(',')] : []),
    ...(runDir === undefined ? [] : ['--run-dir', runDir]),
    ...(json ? ['--json'] : []),
    ...['--', ...command],
  ];
  try {
    const line = commandInside(slot, [process.execPath, ...process.execArgv, process.argv[1], ...again]);
    return exitCodeOf(...(await run(line, process.env)));
  } finally {
    slot.leave();
  }
}

/** A terminal sends SIGINT to its whole group, and the guest is not in it: each of them ends it in order. */
const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

async function runHere(command: readonly string[], options: JoinOptions, target: Target): Promise<number> {
  const { name, wait, waitTimeout: waitLimit, json = false } = options;
  const log = logTo((line) => process.stderr.write(`${line}\n`), json);
  const ending = new AbortController();
  const onSignal = () => ending.abort();
  for (const signal of ENDING) process.on(signal, onSignal);
  try {
    const exit = await runInstance({
      ...{ ...target, name, command, wait, waitLimit, log },
      ...{ environment: process.env, runDir: options.runDir ?? defaultRunDir(target.seed, name) },
      ...builtFolders(),
      signal: ending.signal,
    });
    if (!exit) return 0;
    const exitCode = exitCodeOf(exit.exitCode, exit.signal as NodeJS.Signals | null);
    if (json) process.stderr.write(`${JSON.stringify({ name, exitCode, signal: exit.signal })}\n`);
    return exitCode;
  } finally {
    for (const signal of ENDING) process.off(signal, onSignal);
  }
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

/**
 * One for each instance of each cluster on this machine, and the same again: guests that a supervisor left which was
 * killed are found there. Short: the path of a Unix socket may have 107 characters only.
 */
function defaultRunDir(seed: string, name: string): string {
  const id = createHash('sha256').update(`${seed} ${name}`).digest('hex').slice(0, 12);
  const root = tmpdir().length > 60 ? '/tmp' : tmpdir();
  return joinPath(root, `imaginary-${userInfo().uid}-${id}`);
}

/** Messages of the supervisor. A line that repeats itself, as while the seed is away, is written once. */
function logTo(write: (line: string) => void, json: boolean): Log {
  let last = '';
  return (level, message, detail = {}) => {
    if (message === last) return;
    last = message;
    const time = new Date().toISOString();
    const rest = Object.entries(detail).filter(([, value]) => value !== undefined && value !== null);
    const known = rest
      .filter(([, value]) => !message.includes(String(value)))
      .map(([name, value]) => `${name}=${value}`);
    write(json ? JSON.stringify({ time, level, message, ...detail }) : ['imaginary:', message, ...known].join(' '));
  };
}

/** The next step, where there is one. */
function explained(error: unknown, { name, state }: JoinOptions): unknown {
  const { code, message } = reportOf(error);
  if (error instanceof RunDirBusyError) {
    const other = `'${name}' runs on this machine already, in process ${error.pid}`;
    return new CliError(code, other, {
      next: 'End that one first, or give this one a --run-dir of its own.',
      cause: error,
    });
  }
  if (error instanceof SupervisorError && error.code === 'no-command') {
    return new CliError(code, message, { next: `Give one: imaginary join --name ${name} … -- CMD`, cause: error });
  }
  if (!(error instanceof ControlError)) return error;
  const next: Partial<Record<ControlError['code'], string>> = {
    rejected: state === undefined ? '--key is not the key of that cluster.' : 'Its key has changed: boot it again.',
    unreachable: '--seed has to be where the seed is, and its port has to be open for this machine.',
  };
  return new CliError(`seed-${error.code}`, message, { next: next[error.code], cause: error });
}
