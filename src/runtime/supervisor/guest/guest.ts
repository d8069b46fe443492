/** Starts a host's guest, forwards what it writes, and stops it with everything that came from it. */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, realpathSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { TABLE_FILE } from '../../../contract/abi/shim';
import type { ManifestHost } from '../../../contract/manifest/manifest';
import type { NativeAddon } from '../../../native/addon';
import { remapped } from '../files/remaps';
import { forwardLines, type Stream, type Write } from '../run/log';
import { type Leftover, writeGuestRecord } from './adoption';
import { findShim, GUEST_ENV, guestEnvironment, underShim } from './environment';
import { type GuestProcess, type GuestProcesses, trackGuests } from './processes';
import { inspectCommand, ProgramError } from './program';

export interface GuestOptions {
  readonly host: Pick<ManifestHost, 'name' | 'command' | 'environment' | 'workingDirectory' | 'remappedFiles'>;
  readonly epoch: number;
  readonly runDir: string;
  readonly native: Pick<NativeAddon, 'pipe' | 'spawn'>;
  /** What the function process has. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the shims are; see `findShim`. */
  readonly shimDir?: string;
  readonly write: Write;
}

/** How a guest ended. */
export interface GuestExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** For people, when the guest did not end by its own decision. */
  readonly reason?: string;
}

export interface Guest {
  readonly pid: number;
  readonly processes: GuestProcesses;
  /** Resolves when nothing of the guest runs any more and all it wrote is in the log. */
  readonly exited: Promise<GuestExit>;
  /** SIGTERM to every process of the guest, SIGKILL to those that are left after `grace` milliseconds. */
  stop(grace: number): Promise<void>;
  /** At once, without waiting: for the end of the supervisor itself. */
  kill(): void;
}

/** How often a guest that became a daemon is looked after: it is nobody's child, so its end is no event. */
const DAEMON_CHECK = 500;
const STOP_CHECK = 20;
/** Milliseconds that what was killed has to be gone in. */
const KILLED_LIMIT = 2_000;
/** What is still in the pipes when the last process has ended is read; a process of ours that we do not know may hold one open. */
const OUTPUT_LIMIT = 500;

/**
 * Starts the command of a host.
 * @throws ProgramError when there is no such program, or the shim cannot be preloaded into it
 */
export function startGuest(options: GuestOptions): Guest {
  const { host, runDir, native, write } = options;
  const command = host.command ?? [];
  // The guest's program and its directory may be remapped themselves, and nothing is under the shim yet that would know.
  const cwd = remapped(host.workingDirectory, host.remappedFiles);
  if (!existsSync(cwd)) throw new ProgramError('not-found', cwd, 'there is no such working directory');
  const environment = guestEnvironment(host.name, host.environment, options.environment);
  const program = inspectCommand(
    command.map((word, i) => (i === 0 ? remapped(word, host.remappedFiles) : word)),
    environment.PATH,
    cwd,
  );
  const mark = randomBytes(8).toString('hex');
  const env = underShim({ ...environment, [GUEST_ENV]: mark }, runDir, findShim(program.libc, options.shimDir));
  const processes = trackGuests({
    environment: `${GUEST_ENV}=${mark}`,
    mapped: realpathSync(join(runDir, TABLE_FILE)),
  });

  const [stdout, output] = guestPipe(native);
  const [stderr, errors] = guestPipe(native);
  writeGuestRecord(runDir, {
    host: host.name,
    epoch: options.epoch,
    mark,
    outputs: [fstatSync(stdout).ino, fstatSync(stderr).ino],
  });
  let pid = 0;
  const ended = new Promise<GuestExit>((resolve) => {
    const onExit = (exitCode: number | null, signal: number | null) =>
      resolve({ exitCode, signal: signal === null ? null : signalName(signal) });
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    try {
      pid = native.spawn(program.file, command, variables, cwd, output, errors, onExit);
      processes.add(pid);
    } catch (error) {
      resolve({ exitCode: 127, signal: null, reason: `${program.file}: ${(error as Error).message}` });
    } finally {
      for (const end of [output, errors]) closeSync(end);
    }
  });
  return watchGuest({ host: host.name, pid, processes, ended, stdout, stderr, write });
}

/**
 * Takes over the guest of a supervisor that died. It is nobody's child: its end is seen, the code it ends with is not. It is a
 * daemon, as far as the end of its first process goes.
 */
export function adoptGuest(
  leftover: Leftover,
  { host, write }: { readonly host: Pick<ManifestHost, 'name'>; readonly write: Write },
): Guest {
  const { processes, record } = leftover;
  const [stdout, stderr] = (record?.outputs ?? []).map(leftover.openOutput);
  const first = processes.list().sort((a, b) => a.started - b.started)[0];
  const nobody = async (): Promise<GuestExit> => {
    while (listNow(processes)?.length !== 0) await pause(DAEMON_CHECK);
    return { exitCode: null, signal: null, reason: 'it ended; its supervisor had died, so nobody knows its exit code' };
  };
  return watchGuest({ host: host.name, pid: first?.pid ?? 0, processes, ended: nobody(), stdout, stderr, write });
}

/**
 * A pipe for a guest's output. The guest has its end open for reading too: so what it writes while its supervisor is dead stays
 * in the pipe for the next one, where otherwise it would be told SIGPIPE.
 */
function guestPipe(native: Pick<NativeAddon, 'pipe'>): [read: number, guests: number] {
  const [read, write] = native.pipe();
  try {
    return [read, openSync(`/proc/self/fd/${write}`, 'r+')];
  } finally {
    closeSync(write);
  }
}

interface Watched extends Pick<Guest, 'pid' | 'processes'>, Pick<GuestOptions, 'write'> {
  readonly host: string;
  /** How the first process ended. */
  readonly ended: Promise<GuestExit>;
  /** Reading ends of the guest's pipes; absent: nobody has the other end. */
  readonly stdout?: number;
  readonly stderr?: number;
}

function watchGuest({ host, pid, processes, ended, stdout, stderr, write }: Watched): Guest {
  const outputs: Array<Promise<void>> = [];
  const sockets: Socket[] = [];
  const forward = (stream: Stream, fd: number) => {
    const lines = forwardLines(host, stream, write);
    const socket = new Socket({ fd, readable: true, writable: false });
    outputs.push(
      new Promise((resolve) => {
        socket.on('data', lines.push);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          lines.end();
          resolve();
        });
      }),
    );
    sockets.push(socket);
  };
  if (stdout !== undefined) forward('stdout', stdout);
  if (stderr !== undefined) forward('stderr', stderr);

  const signalAll = (signal: NodeJS.Signals): GuestProcess[] | undefined => {
    const alive = listNow(processes);
    for (const { pid } of alive ?? []) sendSignal(pid, signal);
    // The first process leads a group, whose number needs no look.
    if (!alive) sendSignal(-pid, signal);
    return alive;
  };
  const killAll = async () => {
    // Again and again: what is being killed may fork.
    for (const limit = performance.now() + 2_000; performance.now() < limit; ) {
      if (signalAll('SIGKILL')?.length === 0) return;
      await pause(STOP_CHECK);
    }
  };

  const exited = ended.then(async (exit) => {
    // A first process that ends well and leaves others behind has become a daemon.
    if (exit.exitCode === 0) while (listNow(processes)?.length !== 0) await pause(DAEMON_CHECK);
    else await killAll();
    const limit = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, OUTPUT_LIMIT);
    await Promise.all(outputs);
    clearTimeout(limit);
    return exit;
  });

  return {
    pid,
    processes,
    exited,
    stop: async (grace) => {
      signalAll('SIGTERM');
      for (const limit = performance.now() + grace; performance.now() < limit; ) {
        if (listNow(processes)?.length === 0) break;
        await pause(STOP_CHECK);
      }
      await killAll();
      // What even SIGKILL does not end (a process that hangs in the kernel) does not hold up who waits for this.
      await Promise.race([exited, pause(KILLED_LIMIT)]);
    },
    kill: () => void signalAll('SIGKILL'),
  };
}

/** Undefined: it cannot be told at this moment, for want of descriptors or memory. */
function listNow(processes: GuestProcesses): GuestProcess[] | undefined {
  try {
    return processes.list();
  } catch {
    return undefined;
  }
}

function signalName(number: number): string {
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return name ?? `signal ${number}`;
}

function sendSignal(pid: number, signal: NodeJS.Signals) {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended meanwhile
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
