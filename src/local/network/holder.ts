/**
 * The program `src/native/netns` as a child process: it makes and holds network namespaces, and ends with the platform.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { LocalError } from '../errors';
import { networkFile } from '../paths';

/** A descriptor that came from the holder: what `Server.listen` and `Socket` take as a handle. */
export type Handle = object & { close?(): void };

export interface Holder {
  /** Path of the user namespace that the network namespaces belong to; absent: ours. */
  readonly users?: string;
  /** Nothing of it is left. Never rejects. */
  readonly exited: Promise<void>;
  /**
   * A command, see `network.h`. Commands are obeyed in their order; only `filter` may be overtaken. @throws LocalError
   */
  run(command: string): Promise<void>;
  /** The command `space`. @returns the namespace's path */
  space(number: number): Promise<string>;
  /** The commands `listen` and `dial`. */
  socket(command: string): Promise<Handle>;
  close(): Promise<void>;
}

interface Answer {
  readonly id?: number;
  readonly ready?: boolean;
  readonly user?: string | null;
  readonly path?: string;
  readonly error?: string;
}

const CONTROL = 3;
const ANSWERS = 4;

/** @param name distinguishes platforms. @throws LocalError when this machine allows no network namespaces */
export async function startHolder(name: string): Promise<Holder> {
  const args = ['hold', '--control', String(CONTROL), '--answers', String(ANSWERS), name];
  const child = spawn(networkFile(), args, {
    env: { PATH: process.env.PATH },
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'],
  });
  const control = child.stdio[CONTROL] as Socket;
  control.on('error', () => undefined); // its end is what matters, and that is the child's
  const waiting = new Map<number, { done: (answer: Answer, handle?: Handle) => void; fail: (error: Error) => void }>();
  const exited = endOf(child);
  const ready = new Promise<Answer>((done, fail) => {
    child.once('message', (answer) => done(answer as Answer));
    void exited.then((why) => fail(new LocalError('network', `the network could not be made: ${why}`)));
  });
  let last = 0;
  child.on('message', (message, handle) => {
    const answer = message as Answer;
    const command = waiting.get(answer.id ?? 0);
    waiting.delete(answer.id ?? 0);
    if (answer.error !== undefined) command?.fail(new LocalError('network', answer.error));
    else command?.done(answer, handle as Handle | undefined);
  });
  void exited.then((why) => {
    for (const { fail } of waiting.values()) fail(new LocalError('network', `the network is gone: ${why}`));
    waiting.clear();
  });
  const command = <T>(text: string, take: (answer: Answer, handle?: Handle) => T) =>
    new Promise<T>((done, fail) => {
      if (!control.writable) return fail(new LocalError('network', 'the network is gone'));
      waiting.set(++last, { done: (answer, handle) => done(take(answer, handle)), fail });
      control.write(`${last} ${text}\n`);
    });
  const { user, error } = await ready;
  if (error !== undefined) throw new LocalError('network', `this machine allows no network namespaces: ${error}`);
  return {
    ...(user ? { users: user } : {}),
    exited: exited.then(() => undefined),
    run: (text) => command(text, () => undefined),
    space: (number) => command(`space ${number}`, ({ path }) => path!),
    socket: (text) => command(text, (_, handle) => handle!),
    close: async () => {
      control.end();
      await exited;
    },
  };
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

/** Waits for all, whatever becomes of some: nothing is under way when the first failure is reported. */
export async function all(steps: ReadonlyArray<Promise<unknown>>): Promise<unknown[]> {
  await Promise.allSettled(steps);
  return Promise.all(steps);
}
