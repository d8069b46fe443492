/**
 * A client that forwards: joins the cluster and keeps the program `forward` until a signal. On network `nat` the client is
 * another process, inside the network; the listening sockets are made outside of it, and passed along.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { commandInside, makeClientFolder, type NatInfo, shortTmp, takeSlot } from '../../local';
import { ControlError } from '../../runtime/control/index';
import { type Client, startClient } from '../../runtime/supervisor/client/client';
import { CliError, EXIT, usageError } from '../output/errors';
import { type ClientAccess, clientOf } from '../target/client';
import { explain } from '../target/operator';
import { findHost, type RunningCluster, runningCluster, withState } from '../target/state';
import { Causes } from './causes';
import { closeListening, type Listening } from './listening';
import { type Forwarding, startProgram } from './program';

export interface SessionOptions {
  readonly listening: readonly Listening[];
  /** Connections at one time. */
  readonly most: number;
  readonly json?: boolean;
  /** Connections are accepted from now on. */
  readonly onReady: () => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** A cluster of this machine, or another one. */
export type ForwardCluster = { readonly local: RunningCluster } | { readonly remote: ClientAccess };

/** Until the signal, or the end of the cluster. @returns exit code; of a client that has failed inside the network, its own */
export async function keepForwarding(cluster: ForwardCluster, options: SessionOptions): Promise<number> {
  try {
    const nat = 'local' in cluster && cluster.local.network.kind === 'nat' ? cluster.local.network : undefined;
    if ('local' in cluster && nat) return await inSlot(cluster.local, nat, options);
    await inCluster(cluster, options);
    return EXIT.ok;
  } catch (error) {
    if (options.signal.aborted) return EXIT.ok;
    throw explained(error, cluster);
  }
}

function explained(error: unknown, cluster: ForwardCluster): unknown {
  if ('local' in cluster) return explain(error, cluster.local);
  if (!(error instanceof ControlError)) return error;
  const next =
    error.code === 'rejected'
      ? 'Does --key belong to that seed?'
      : 'Is it the address of the seed, and does its security group let this machine in?';
  return new CliError(`seed-${error.code}`, error.message, { next, cause: error });
}

/** The first line of a client inside the network. */
const READY = JSON.stringify({ ready: true });

/** The first descriptor behind standard error. */
const FIRST = 3;

async function inSlot(cluster: RunningCluster, network: NatInfo, options: SessionOptions): Promise<number> {
  const { listening, most, json, onReady, signal } = options;
  const slot = await takeSlot(network).catch((error: Error) => {
    throw new CliError('network', error.message, { next: withState('imaginary ps', cluster.stateDir), cause: error });
  });
  try {
    const inside = JSON.stringify(listening.map((one, i) => ({ ...one, descriptor: FIRST + i })));
    const again = [
      'forward',
      '--state',
      cluster.stateDir,
      '--max-connections',
      String(most),
      ...(json ? ['--json'] : []),
    ];
    const [file, ...args] = commandInside(slot, [
      ...[process.execPath, ...process.execArgv, process.argv[1]],
      ...[...again, '--inside', inside, ...listening.map(({ host, port }) => `${host}:${port}`)],
    ]);
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'inherit', ...listening.map(({ descriptor }) => descriptor)],
    });
    closeListening(listening);
    child.stdin!.on('error', () => undefined);
    // The end of its input is the end of the client, also where this process is killed.
    const end = () => child.stdin!.end();
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line === READY) onReady();
      else process.stdout.write(`${line}\n`);
    });
    const [code] = await once(child, 'close');
    return code ?? EXIT.failure;
  } finally {
    slot.leave();
  }
}

/** The client inside the network: what `inSlot` has started. Ends with its standard input. @returns exit code */
export async function forwardInside(
  given: string,
  { state, most, signal }: { readonly state?: string; readonly most: number; readonly signal: AbortSignal },
): Promise<number> {
  const cluster = { local: runningCluster(state) };
  const listening: Listening[] = JSON.parse(given);
  const ended = once(process.stdin.resume(), 'end').then(() => undefined);
  const ending = new AbortController();
  void ended.then(() => ending.abort());
  try {
    const onReady = () => process.stdout.write(`${READY}\n`);
    await inCluster(cluster, { listening, most, onReady, signal: AbortSignal.any([signal, ending.signal]) });
    return EXIT.ok;
  } catch (error) {
    if (ending.signal.aborted || signal.aborted) return EXIT.ok;
    throw explained(error, cluster);
  } finally {
    process.stdin.destroy();
  }
}

async function inCluster(cluster: ForwardCluster, options: Omit<SessionOptions, 'json'>): Promise<void> {
  const { listening, most, onReady, signal } = options;
  const say = (line: string) => process.stderr.write(`imaginary: ${line}\n`);
  const causes = new Causes(say);
  const runDir =
    'local' in cluster ? makeClientFolder(cluster.local.stateDir) : mkdtempSync(join(shortTmp(), 'imaginary-forward-'));
  try {
    const client = await joined(signal, (joining) =>
      startClient({
        ...('local' in cluster ? clientOf(cluster.local) : cluster.remote),
        runDir,
        signal: joining,
        log: process.env.IMAGINARY_DEBUG ? say : undefined,
        onRefused: (refusal) => causes.refused(refusal),
      }),
    );
    try {
      const program = startProgram(client, forwardingsOf(listening, client, cluster), most, causes);
      try {
        onReady();
        await Promise.race([aborted(signal), client.ended, program.failed]);
      } finally {
        await program.end();
      }
    } finally {
      await client.close();
    }
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

/** A seed that is away for a moment is waited for; one that does not answer is no seed. Milliseconds. */
const JOIN_LIMIT = 15_000;

/** @throws ControlError also when the seed has not answered in time */
async function joined(signal: AbortSignal, join: (signal: AbortSignal) => Promise<Client>): Promise<Client> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), JOIN_LIMIT);
  try {
    return await join(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    if (!late.signal.aborted || !(error instanceof ControlError)) throw error;
    throw new ControlError(
      'unreachable',
      `the seed at ${error.seed} has not answered within ${JOIN_LIMIT} ms`,
      error.seed,
    );
  } finally {
    clearTimeout(timer);
  }
}

/** @throws CliError for a name that is nobody's */
function forwardingsOf(listening: readonly Listening[], client: Client, cluster: ForwardCluster): Forwarding[] {
  return listening.map((one) => {
    const { name, address } = client.find(one.host) ?? nobody(one.host, cluster);
    return { listening: one, address, to: `${name}:${one.port}` };
  });
}

function nobody(name: string, cluster: ForwardCluster) {
  if ('local' in cluster) return findHost(cluster.local.manifest, name);
  throw usageError(`the cluster has no host '${name}'`, 'Names and aliases are those of its manifest.');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    signal.addEventListener('abort', () => done(), { once: true });
  });
}
