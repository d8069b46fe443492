/** The program `forward` (src/native/forward), a guest of a client. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { commandAsClient, forwardFile } from '../../local';
import type { Client } from '../../runtime/supervisor/client/client';
import { CliError } from '../output/errors';
import type { Causes } from './causes';
import { closeListening, type Listening } from './listening';

/** A listening socket, and where its connections go. */
export interface Forwarding {
  readonly listening: Listening;
  /** Virtual address of the host. */
  readonly address: string;
  /** `host:port`, with the host's own name. */
  readonly to: string;
}

export interface ForwardProgram {
  /** Rejects when the program ends before `end`. Never resolves. */
  readonly failed: Promise<never>;
  /** Resets all connections. */
  end(): Promise<void>;
}

/** The first descriptor behind standard error. */
const FIRST = 3;

/** Starts it. The listening sockets are the program's from then on. */
export function startProgram(
  client: Client,
  forwardings: readonly Forwarding[],
  most: number,
  causes: Causes,
): ForwardProgram {
  const targets = forwardings.map(({ address, listening }, i) => `${FIRST + i}:${address}:${listening.port}`);
  const [file, ...args] = commandAsClient([forwardFile(), String(most), ...targets]);
  const child = spawn(file, args, {
    env: client.environmentFor([forwardFile()], process.env),
    stdio: ['pipe', 'pipe', 'inherit', ...forwardings.map(({ listening }) => listening.descriptor)],
  });
  closeListening(forwardings.map(({ listening }) => listening));
  const exited = once(child, 'exit');
  child.stdin!.on('error', () => undefined);
  createInterface({ input: child.stdout! }).on('line', (line) => report(line, forwardings, causes));
  const failed = exited.then(
    ([code, signal]) => Promise.reject(new CliError('forward', `the program 'forward' has ended: ${signal ?? code}`)),
    (error: Error) => Promise.reject(error),
  );
  // A caller need not look at it.
  failed.catch(() => undefined);
  return { failed, end: () => end(child, exited) };
}

/** `INDEX ERRNO COUNT`: see src/native/forward/forward.h. */
function report(line: string, forwardings: readonly Forwarding[], causes: Causes): void {
  const [index, errno, count] = line.split(' ').map(Number);
  const { to } = forwardings[index];
  if (errno === 0) causes.connected(to);
  else causes.failed(to, errno, count);
}

async function end(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  child.stdin!.end();
  await exited.catch(() => undefined);
}
