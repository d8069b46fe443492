/** Starts a host's guest, forwards what it writes, and stops it with everything that came from it. */
import { closeSync, existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { ManifestHost } from '../../../contract/manifest/manifest';
import type { NativeAddon } from '../../../native/addon';
import { pause } from '../../pause';
import { remapped } from '../files/remaps';
import { forwardLines, type Stream, type Write } from '../run/log';
import type { RunDir } from '../run/run-dir';
import { findShim, GUEST_ENV, guestEnvironment, ownEnvironment, underShim } from './environment';
import { watchMemory } from './memory';
import type { GuestProcesses } from './processes';
import { inspectCommand, ProgramError } from './program';
import { killAll, noneLeft, signalAll, stopAll } from './stop';

export interface GuestOptions {
  readonly host: Pick<ManifestHost, 'name' | 'command' | 'environment' | 'workingDirectory' | 'remappedFiles'>;
  readonly runDir: Pick<RunDir, 'path' | 'life' | 'track'>;
  readonly native: Pick<NativeAddon, 'pipe' | 'spawn'>;
  /** Who the host is in the cluster: see `nodeEnvironment`. */
  readonly node: Readonly<Record<string, string>>;
  /** What the function process has. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the shims are; see `findShim`. */
  readonly shimDir?: string;
  readonly write: Write;
  /** The guest is the operator's own program on a machine of theirs. Absent: it gets what functions give to guests. */
  readonly own?: OwnProgram;
  /** Called with each line that the guest writes. */
  readonly onLine?: (line: string) => void;
}

export interface OwnProgram {
  /**
   * The guest writes to the supervisor's own standard output and standard error. False: what it writes goes through the
   * supervisor, which reads it as well.
   */
  readonly inheritsOutput: boolean;
}

/** What another command runs in that belongs to the host as its guest does. */
export interface GuestPlace {
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
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
  readonly place: GuestPlace;
  /** Resolves when nothing of the guest runs any more and all it wrote is in the log. */
  readonly exited: Promise<GuestExit>;
  /** SIGTERM to every process of the guest, SIGKILL to those that are left after `grace` milliseconds. */
  stop(grace: number): Promise<void>;
  /** At once, without waiting: for the end of the supervisor itself. */
  kill(): void;
}

/** How often a guest that became a daemon is looked after: it is nobody's child, so its end is no event. */
const DAEMON_CHECK = 500;
/** Milliseconds that what was killed has to be gone in. */
const KILLED_LIMIT = 2_000;
/**
 * What is still in the pipes when the last process has ended is read; a process of ours that we do not know may hold
 * one open.
 */
const OUTPUT_LIMIT = 500;

/**
 * Starts the command of a host.
 * @throws ProgramError when there is no such program, or the shim cannot be preloaded into it
 */
export function startGuest(options: GuestOptions): Guest {
  const { host, runDir, native, write } = options;
  const command = host.command ?? [];
  // The guest's program and its directory may be remapped themselves, and nothing is under the shim yet that would
  // know.
  const cwd = remapped(host.workingDirectory ?? process.cwd(), host.remappedFiles);
  if (!existsSync(cwd)) throw new ProgramError('not-found', cwd, 'there is no such working directory');
  const given = options.own ? ownEnvironment : guestEnvironment;
  const environment = given(host.name, host.environment, options.environment, options.node);
  const program = inspectCommand(
    command.map((word, i) => (i === 0 ? remapped(word, host.remappedFiles) : word)),
    environment.PATH,
    cwd,
  );
  const shim = findShim(program.libc, options.shimDir);
  const env = underShim({ ...environment, [GUEST_ENV]: runDir.life }, runDir.path, shim);
  const processes = runDir.track();
  const inherits = options.own?.inheritsOutput === true;
  const [stdout, output] = inherits ? [-1, 1] : native.pipe();
  const [stderr, errors] = inherits ? [-1, 2] : native.pipe();
  let pid = 0;
  const outOfMemory = watchMemory(options.environment);
  const ended = new Promise<GuestExit>((resolve) => {
    const onExit = (exitCode: number | null, number: number | null) => {
      const signal = number === null ? null : signalName(number);
      resolve({ exitCode, signal, reason: signal === 'SIGKILL' ? outOfMemory() : undefined });
    };
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    try {
      pid = native.spawn(program.file, command, variables, cwd, output, errors, onExit);
      processes.add(pid);
    } catch (error) {
      resolve({ exitCode: 127, signal: null, reason: `${program.file}: ${(error as Error).message}` });
    } finally {
      if (!inherits) for (const end of [output, errors]) closeSync(end);
    }
  });
  const place = { environment: env, directory: cwd };
  const { onLine, own } = options;
  return watchGuest({
    host: host.name,
    pid,
    processes,
    place,
    ended,
    stdout,
    stderr,
    write,
    raw: own !== undefined,
    onLine,
  });
}

interface Watched extends Pick<Guest, 'pid' | 'processes' | 'place'>, Pick<GuestOptions, 'write' | 'onLine'> {
  readonly host: string;
  /** How the first process ended. */
  readonly ended: Promise<GuestExit>;
  /** What the guest writes is passed on as it is, and not as lines of the log. */
  readonly raw: boolean;
  /** Reading ends of the guest's pipes; below 0: it has none. */
  readonly stdout: number;
  readonly stderr: number;
}

function watchGuest({ host, pid, processes, place, ended, stdout, stderr, write, raw, onLine }: Watched): Guest {
  const outputs: Array<Promise<void>> = [];
  const sockets: Socket[] = [];
  const forward = (stream: Stream, fd: number) => {
    if (fd < 0) return;
    const lines = forwardLines(host, stream, raw ? () => undefined : write, onLine);
    const socket = new Socket({ fd, readable: true, writable: false });
    outputs.push(
      new Promise((resolve) => {
        socket.on('data', lines.push);
        if (raw) socket.on('data', (chunk) => process[stream].write(chunk));
        socket.on('error', () => undefined);
        socket.on('close', () => {
          lines.end();
          resolve();
        });
      }),
    );
    sockets.push(socket);
  };
  forward('stdout', stdout);
  forward('stderr', stderr);

  // The first process leads a group.
  const guests = { processes, leader: pid };
  const exited = ended.then(async (exit) => {
    // A first process that ends well and leaves others behind has become a daemon.
    if (exit.exitCode === 0) while (!noneLeft(processes)) await pause(DAEMON_CHECK);
    else await killAll(guests);
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
    place,
    exited,
    stop: async (grace) => {
      await stopAll(guests, grace);
      // A process that hangs in the kernel, and that SIGKILL does not end, does not hold up the caller.
      await Promise.race([exited, pause(KILLED_LIMIT)]);
    },
    kill: () => void signalAll(guests, 'SIGKILL'),
  };
}

function signalName(number: number): string {
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return name ?? `signal ${number}`;
}
