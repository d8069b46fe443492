/** The launcher `src/native/sandbox` as a child process: its command line, its events, its commands. */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { LocalError } from '../errors';
import { launcherFile } from '../paths';
import { endRemains } from './remains';

export type Mode = 'root' | 'user' | 'bare';

/** What the launcher says once the command runs. */
export interface Started {
  readonly mode: Mode;
  /** The sandbox's first process. */
  readonly pid: number;
  readonly isolation: {
    readonly filesystem: boolean;
    readonly uid: boolean;
    readonly pids: boolean;
    readonly devShm: boolean;
    readonly freeze: 'v1' | 'v2' | 'sigstop';
    readonly memory: boolean;
  };
  readonly missing: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: number | null;
}

export interface Launched {
  /** Rejects with LocalError when nothing could be started. */
  readonly started: Promise<Started>;
  /** Nothing of the sandbox is left, its cgroups neither. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Absent when they go elsewhere. */
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** False: not everything stands still. */
  freeze(): Promise<boolean>;
  thaw(): Promise<boolean>;
  /** Whether a process of the sandbox has the other end of a connection that came to us. */
  owns(socket: Socket): Promise<boolean>;
  /** Everything in it, at once. */
  kill(): void;
  /** A signal to the command alone. */
  signal(signal: 'SIGINT' | 'SIGTERM'): void;
}

type Event =
  | ({ readonly event: 'started' } & Started)
  | { readonly event: 'failed'; readonly reason: string; readonly missing: readonly string[] }
  | { readonly event: 'frozen' | 'thawed' | 'owned'; readonly ok: boolean }
  | ({ readonly event: 'exit' } & Exit);

const CONTROL = 3;
/** The first descriptor of a command beside its own three. */
export const INHERITED = CONTROL + 1;
/** A launcher that does not obey `kill` is killed itself, and its sandbox from here. */
const ENDS_WITHIN = 3_000;
/** When all is dead; only a process that nobody knows of could hold them. */
const PIPES_CLOSE_WITHIN = 1_000;

/**
 * @param options as the launcher has them, with the command
 * @param environment exactly what the command gets
 * @param output descriptor for its output, instead of pipes to us
 * @param remains names what is left of it when the launcher is killed
 * @param inherited descriptors that the command gets, as `INHERITED` and on
 */
export function launch(
  options: readonly string[],
  environment: NodeJS.ProcessEnv,
  output?: number,
  remains?: string,
  inherited: readonly number[] = [],
): Launched {
  const keep = inherited.length > 0 ? ['--keep', String(CONTROL + inherited.length)] : [];
  const child = spawn(launcherFile(), ['--control', String(CONTROL), ...keep, ...options], {
    env: environment,
    cwd: '/',
    // Out of our process group: an interrupt at the terminal is for the platform alone.
    detached: true,
    stdio: ['ignore', output ?? 'pipe', output ?? 'pipe', 'pipe', ...inherited],
  });
  const control = child.stdio[CONTROL] as Socket;
  const answers: Array<(ok: boolean) => void> = [];
  let exit: Exit | undefined;
  let failure = 'it ended without a word';
  let onStarted: (started: Started) => void = () => undefined;
  let onFailed: (error: Error) => void = () => undefined;
  const started = new Promise<Started>((resolve, reject) => {
    onStarted = resolve;
    onFailed = reject;
  });
  started.catch(() => undefined); // handled where it is waited for
  const listen = (event: Event) => {
    if (event.event === 'started') onStarted(event);
    else if (event.event === 'failed') failure = event.reason;
    else if (event.event === 'exit') exit = { code: event.code, signal: event.signal };
    else answers.shift()?.(event.ok);
  };
  const lines = createInterface({ input: control });
  lines.on('line', (line) => listen(JSON.parse(line) as Event));
  for (const stream of [lines, control]) stream.on('error', () => undefined); // what matters is the child's end
  child.on('error', (error) => {
    failure = error.message;
  });
  let ended = false;
  child.on('exit', (_, signal) => {
    ended = true;
    for (const answer of answers.splice(0)) answer(false);
    // One that ends in order leaves nothing. Of one that is killed, what is frozen never dies, and holds our pipes
    // open.
    const cleared = signal === null || !remains ? Promise.resolve() : endRemains(remains);
    void cleared.then(() => setTimeout(letGo, PIPES_CLOSE_WITHIN).unref());
  });
  const letGo = () => {
    for (const stream of [child.stdout, child.stderr, control]) stream?.destroy();
  };
  const exited = new Promise<Exit>((resolve) => {
    child.on('close', (code, signal) => {
      onFailed(new LocalError('sandbox', `the sandbox could not be started: ${failure}`));
      resolve(exit ?? { code, signal: signal === null ? null : 9 });
    });
  });
  const command = (text: string) =>
    new Promise<boolean>((resolve) => {
      if (ended || !control.writable) return resolve(false);
      answers.push(resolve);
      control.write(`${text}\n`);
    });
  return {
    started,
    exited,
    stdout: child.stdout,
    stderr: child.stderr,
    freeze: () => command('freeze'),
    thaw: () => command('thaw'),
    owns: async ({ remoteAddress, remotePort, localAddress, localPort }) => {
      if (remotePort === undefined) return false; // it has gone
      return command(`owns ${remoteAddress} ${remotePort} ${localAddress} ${localPort}`);
    },
    kill: () => {
      if (ended) return;
      if (control.writable) control.write('kill\n');
      const late = setTimeout(() => child.kill('SIGKILL'), ENDS_WITHIN);
      child.once('exit', () => clearTimeout(late));
    },
    signal: (signal) => {
      child.kill(signal); // the launcher hands it on
    },
  };
}
