/** A command that runs beside a guest, in its environment and its directory. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

/** Undefined: all is well. Else why not, for people. */
export type Finding = string | undefined;

export interface BesideCommand {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Milliseconds; then it is killed, with all that it has started. */
  readonly timeout: number;
  /** Aborted: the same at once. */
  readonly signal?: AbortSignal;
}

export interface Output {
  readonly stdout: (chunk: Buffer) => void;
  readonly stderr: (chunk: Buffer) => void;
}

/** Milliseconds that a command which was killed has to be gone in. */
const KILLED_LIMIT = 500;
/** Its own output is read to the end, unless a process of another group holds a pipe open, in milliseconds. */
const OUTPUT_LIMIT = 500;

/** All is well if the command exits with 0 in time. Resolves when it has ended and its output is read. Never rejects. */
export function runBeside(beside: BesideCommand, output: Output): Promise<Finding> {
  const { command, environment, directory, timeout, signal } = beside;
  const [file, ...args] = command;
  return new Promise<Finding>((resolve) => {
    // A group of its own: what the command has started ends with it.
    const child = spawn(file, args, {
      cwd: directory,
      env: environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let cut: string | undefined;
    const end = (finding: Finding) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(finding);
    };
    const kill = (why: string) => {
      cut ??= why;
      killGroup(child.pid);
      // What hangs in the kernel does not end for SIGKILL either.
      clearTimeout(timer);
      timer = setTimeout(() => end(`'${file}' ${cut}`), KILLED_LIMIT);
    };
    let timer = setTimeout(() => kill(`took longer than ${timeout} ms`), timeout);
    const onAbort = () => kill('was ended before it was done');
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    child.stdout.on('data', output.stdout);
    child.stderr.on('data', output.stderr);
    child.on('error', (error) => end(`'${file}' could not be started: ${error.message}`));
    child.on('exit', (code, by) => {
      const how = cut ?? (by ? `was ended by ${by}` : code === 0 ? undefined : `exited with code ${code}`);
      void readToEnd([child.stdout, child.stderr]).then(() => end(how && `'${file}' ${how}`));
    });
  }).catch((error: Error) => `'${file}' could not be started: ${error.message}`);
}

function readToEnd(streams: readonly Readable[]): Promise<void> {
  return new Promise((resolve) => {
    let open = 0;
    const done = () => {
      clearTimeout(limit);
      resolve();
    };
    const limit = setTimeout(() => {
      for (const stream of streams) stream.destroy();
    }, OUTPUT_LIMIT);
    for (const stream of streams) {
      if (stream.closed) continue;
      open += 1;
      stream.once('close', () => {
        open -= 1;
        if (open === 0) done();
      });
    }
    if (open === 0) done();
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
