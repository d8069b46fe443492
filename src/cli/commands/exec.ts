import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import { commandAsClient, commandInside, makeClientFolder, type NatInfo, takeSlot } from '../../local';
import { startClient } from '../../runtime/supervisor/client/client';
import { ProgramError } from '../../runtime/supervisor/guest/program';
import type { CommonOptions } from '../options';
import { CliError, EXIT, reportOf } from '../output/errors';
import { clientOf } from '../target/client';
import { explain } from '../target/operator';
import { findHost, type RunningCluster, runningCluster, withState } from '../target/state';

interface ExecOptions extends CommonOptions {
  readonly as?: string;
  /** Prints the reason of every connect that fails. */
  readonly why?: boolean;
  /** Network `nat`: started by `inSlot`. */
  readonly inside?: boolean;
}

/** Runs a command under the shim. Returns its exit code. */
export async function exec(command: readonly string[], options: ExecOptions): Promise<number> {
  let cluster: RunningCluster | undefined;
  try {
    cluster = runningCluster(options.state);
    const as = options.as === undefined ? undefined : findHost(cluster.manifest, options.as).name;
    if (cluster.network.kind === 'nat' && !options.inside)
      return await inSlot(cluster, cluster.network, command, options);
    return await inCluster(cluster, command, as, options);
  } catch (error) {
    throw ownFailure(cluster ? explain(error, cluster) : error);
  }
}

/** Failures of `exec` and `join` themselves have exit codes that no command's are taken for. */
export function ownFailure(error: unknown): CliError {
  const { code, message, next, exitCode } = reportOf(error);
  const own = error instanceof ProgramError ? error.exitCode : exitCode === EXIT.failure ? EXIT.exec : exitCode;
  return new CliError(code, message, { next, exitCode: own, cause: error });
}

/** Takes a slot in the network and does it all again in there. */
async function inSlot(cluster: RunningCluster, network: NatInfo, command: readonly string[], options: ExecOptions) {
  const slot = await takeSlot(network).catch((error: Error) => {
    throw new CliError('network', error.message, { next: withState('imaginary ps', cluster.stateDir), cause: error });
  });
  const own = [
    ...(options.as === undefined ? [] : ['--as', options.as]),
    ...(options.json ? ['--json'] : []),
    ...(options.why ? ['--why'] : []),
  ];
  const again = ['exec', '--inside', '--state', cluster.stateDir, ...own, '--', ...command];
  try {
    const line = commandInside(slot, [process.execPath, ...process.execArgv, process.argv[1], ...again]);
    const [code, signal] = await run(line, process.env);
    return code ?? 128 + (signal ? constants.signals[signal] : 0);
  } finally {
    slot.leave();
  }
}

async function inCluster(
  cluster: RunningCluster,
  command: readonly string[],
  as: string | undefined,
  { json, why }: ExecOptions,
) {
  const runDir = makeClientFolder(cluster.stateDir);
  const ownName = mayRename();
  const say = (line: string) => process.stderr.write(`imaginary: ${line}\n`);
  try {
    const client = await startClient({
      ...clientOf(cluster),
      as,
      runDir,
      kernelName: ownName,
      log: process.env.IMAGINARY_DEBUG ? say : undefined,
      onRefused: why ? ({ to, errno, reason }) => say(`connect to ${to}: ${errno}: ${reason}`) : undefined,
    });
    client.ended.catch((error: Error) => say(`${error.message}; the command goes on without the cluster`));
    try {
      const startedAt = performance.now();
      const [code, signal] = await run(
        commandAsClient(command, ownName ? client.self.name : undefined),
        client.environmentFor(command, process.env, process.cwd()),
      );
      const exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
      if (json) {
        const ms = Math.round(performance.now() - startedAt);
        process.stderr.write(`${JSON.stringify({ command, ...client.self, exitCode, signal, ms })}\n`);
      }
      return exitCode;
    } finally {
      await client.close();
    }
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

/**
 * Whether the command could rename this machine, as root can: then it gets a name of its own to change. Where there can
 * be none, the shim refuses the change.
 */
function mayRename(): boolean {
  if (process.geteuid?.() !== 0) return false;
  const [program, ...args] = commandAsClient(['/bin/true'], 'probe');
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

/** A signal that a terminal sends goes to the command by itself; all others are passed on. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];
const PASSED_ON: readonly NodeJS.Signals[] = [
  ...FROM_TERMINAL,
  'SIGTERM',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGCONT',
];

/** Runs a command with this one's own input and output, and passes signals on. */
export async function run(
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<[number | null, NodeJS.Signals | null]> {
  const [program, ...args] = command;
  let child: ChildProcess | undefined;
  const forward = (signal: NodeJS.Signals) => {
    if (!(process.stdin.isTTY && FROM_TERMINAL.includes(signal))) child?.kill(signal);
  };
  // Before the command: it may say that it is ready, and be sent a signal for it, before `spawn` has returned.
  for (const signal of PASSED_ON) process.on(signal, forward);
  try {
    const started = spawn(program, args, { stdio: 'inherit', env });
    child = started;
    return await new Promise((done, fail) => {
      started.once('error', fail);
      started.once('exit', (...end) => done(end));
    });
  } finally {
    for (const signal of PASSED_ON) process.off(signal, forward);
  }
}
