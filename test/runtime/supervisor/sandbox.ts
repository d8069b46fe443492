/**
 * A sandbox for tests of the supervisor: a process of its own that runs the real bundled handler, as a Lambda runtime
 * would, beside the real layers. Frozen and thawed as the local platform does it where it has no cgroups: SIGSTOP of
 * everything.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { JS_OUTPUTS } from '../../../scripts/bundle-outputs';
import type { Invocation, InvocationResult } from '../../../src/contract/platform/invocation';
import { bundleInto } from '../../support/bundles';
import { family, signal } from '../../support/processes';

const root = resolve(__dirname, '../../..');
const arch = process.arch === 'arm64' ? 'arm64' : 'x86_64';

/** What calls the handler: one message, one answer. */
const RUNTIME = `
const { handler } = require('./handler.js');
process.on('message', async ({ id, event, time }) => {
  const end = Date.now() + time;
  try {
    process.send({ id, result: await handler(event, { getRemainingTimeInMillis: () => end - Date.now() }) });
  } catch (error) {
    process.send({ id, error: { name: error.name, message: error.message, code: error.code } });
  }
});
process.send({ ready: true });
`;

/** A folder as /opt/imaginary is in a function: the bundle with everything that it looks for beside itself. */
export function layersFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'imaginary-layers-'));
  const layer = join('lambda-layers', 'supervisor', arch, 'imaginary');
  for (const file of JS_OUTPUTS.flatMap(({ files }) => files)) if (dirname(file) === layer) bundleInto(path, file);
  writeFileSync(join(path, 'runtime.js'), RUNTIME);
  for (const folder of [layer, join('lambda-layers', 'shim', arch, 'imaginary')]) {
    for (const name of readdirSync(join(root, folder))) {
      if (!name.endsWith('.js')) symlinkSync(join(root, folder, name), join(path, name));
    }
  }
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

export interface LogLine {
  readonly level?: string;
  readonly message?: string;
  readonly stream?: string;
  readonly line?: string;
  readonly [name: string]: unknown;
}

export interface Sandbox {
  readonly pid: number;
  readonly runDir: string;
  readonly log: LogLine[];
  /** What guests wrote. */
  output(): string[];
  /**
   * Thaws, invokes, waits for the end of the invocation, freezes. One invocation at a time. `timeout`: milliseconds, of
   * this one only.
   */
  invoke(invocation: Invocation, timeout?: number): Promise<InvocationResult>;
  /** The first log line, past or future, that matches. */
  logged(match: (line: LogLine) => boolean): Promise<LogLine>;
  /** Resolves with the process's exit code. */
  readonly exited: Promise<number | null>;
  /** Kills the process, and nothing of what came from it. */
  die(): Promise<unknown>;
  shutdown(): void;
  close(): void;
}

export interface SandboxOptions {
  readonly layers: string;
  /** Default: a new one, removed when the sandbox is closed. */
  readonly runDir?: string;
  readonly flat: number;
  /** Of the function, in milliseconds. */
  readonly timeout?: number;
  readonly env?: NodeJS.ProcessEnv;
}

export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-sandbox-'));
  const runDir = options.runDir ?? join(folder, 'run');
  mkdirSync(runDir, { recursive: true });
  const child: ChildProcess = fork(join(options.layers, 'runtime.js'), [], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    execArgv: [],
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      IMAGINARY_DIR: runDir,
      IMAGINARY_FLAT: String(options.flat),
      AWS_LAMBDA_RUNTIME_API: '127.0.0.1:1',
      ...options.env,
    },
  });
  const log: LogLine[] = [];
  const watchers = new Set<() => void>();
  let rest = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) log.push(JSON.parse(line));
    for (const watcher of watchers) watcher();
  });
  const calls = new Map<number, (message: { result?: InvocationResult; error?: object }) => void>();
  let nextId = 1;
  let last: Promise<void> = Promise.resolve();
  /** A sandbox that is shut down is not frozen any more. */
  let ending = false;
  await new Promise<void>((ready) => {
    child.on('message', (message: { ready?: true; id?: number }) => {
      if (message.ready) ready();
      else calls.get(message.id!)?.(message as never);
    });
  });
  const exited = new Promise<number | null>((done) => {
    child.once('exit', (code) => {
      for (const answer of calls.values()) answer({ error: { name: 'Runtime.ExitError', message: `exit ${code}` } });
      done(code);
    });
  });

  return {
    pid: child.pid!,
    runDir,
    log,
    output: () => log.flatMap(({ line }) => (line === undefined ? [] : [line])),
    invoke: async (event, timeout = options.timeout ?? 60_000) => {
      const id = nextId++;
      const earlier = last;
      let done = () => {};
      last = new Promise((resolve) => {
        done = resolve;
      });
      await earlier;
      signal(family(child.pid!), 'SIGCONT');
      const answer = await new Promise<{ result?: InvocationResult; error?: object }>((answered) => {
        calls.set(id, answered);
        child.send({ id, event, time: timeout });
      });
      calls.delete(id);
      if (child.exitCode === null && !ending) signal(family(child.pid!), 'SIGSTOP');
      done();
      if (!answer.result) throw Object.assign(new Error(), answer.error);
      return answer.result;
    },
    logged: (match) =>
      new Promise((done) => {
        const look = () => {
          const found = log.find(match);
          if (!found) return;
          watchers.delete(look);
          done(found);
        };
        watchers.add(look);
        look();
      }),
    exited,
    die: () => {
      ending = true;
      child.kill('SIGKILL');
      return exited;
    },
    shutdown: () => {
      ending = true;
      signal(family(child.pid!), 'SIGCONT');
      child.kill('SIGTERM');
    },
    close: () => {
      signal(family(child.pid!), 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** All that whoever listens there says. */
export function read(address: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, address);
    socket.on('data', (chunk) => (text += chunk));
    socket.on('error', reject).on('close', () => resolve(text));
  });
}
