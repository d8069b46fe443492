/** `imaginary forward` of a cluster, and connections to its ports. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { TestCluster } from './cluster';

export interface Forward {
  /** What it has printed when it was ready. */
  readonly lines: readonly string[];
  /** Local ports, as its targets are given. */
  readonly ports: readonly number[];
  readonly pid: number;
  /** Standard error so far. */
  errors(): string;
  /** Sends the signal, and waits for the end. */
  end(signal: NodeJS.Signals): Promise<{ readonly code: number | null; readonly stderr: string }>;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
}

/** Starts it, and waits until it listens on all its ports. @throws Error when it ends before */
export async function startForward(
  cluster: TestCluster,
  targets: readonly string[],
  ...options: string[]
): Promise<Forward> {
  const child = cluster.follow(['forward', ...options, ...targets]);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stderr }));
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout! });
  const listening = new Promise<void>((done) => {
    output.on('line', (line) => {
      lines.push(line);
      if (lines.length === targets.length) done();
    });
  });
  const failed = ended.then(({ code }) => Promise.reject(new Error(`forward ended with ${code}: ${stderr}`)));
  failed.catch(() => undefined);
  await Promise.race([listening, failed]);
  return {
    lines,
    ports: lines.map((line) => Number(/:(\d+) -> /.exec(line)?.[1])),
    pid: child.pid!,
    errors: () => stderr,
    end: (signal) => {
      child.kill(signal);
      return ended;
    },
    ended,
  };
}

/** A connection to a local port: sends a line, and is left open on this side. */
export async function open(port: number, line = ''): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(line);
  return socket;
}

/** What comes until the other side ends, or the code of the error that ends it. Fails after a minute. */
export async function untilEnd(socket: Socket): Promise<{ readonly text: string; readonly error?: string }> {
  let text = '';
  const late = setTimeout(() => socket.destroy(new Error('nothing ended it within a minute')), 60_000);
  try {
    return await new Promise((done) => {
      socket.on('data', (data) => (text += data.toString('latin1')));
      socket.once('end', () => done({ text }));
      socket.once('error', (error: NodeJS.ErrnoException) => done({ text, error: error.code ?? error.message }));
      if (socket.errored) done({ text, error: (socket.errored as NodeJS.ErrnoException).code });
    });
  } finally {
    clearTimeout(late);
    socket.destroy();
  }
}

/** Sends a line, and what comes back until the other side ends. A reset may come before the connect has returned. */
export async function ask(port: number, line: string): ReturnType<typeof untilEnd> {
  try {
    return await untilEnd(await open(port, line));
  } catch (error) {
    return { text: '', error: (error as NodeJS.ErrnoException).code };
  }
}
