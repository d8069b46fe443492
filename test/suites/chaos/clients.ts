/** Clients of a run: guests under `imaginary exec` that call hosts until they are told to end. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestCluster } from '../../support/cluster';
import { python } from '../../support/guests';
import { type Call, callOf } from './records';

export interface ClientsOptions {
  readonly cluster: TestCluster;
  /** Of `guest.py`, outside of hosts. */
  readonly program: string;
  readonly many: number;
  /** Seed of their random numbers. */
  readonly seed: number;
  /** As `guest.py` takes them. */
  readonly hosts: readonly string[];
}

export class Clients {
  readonly #options: ClientsOptions;
  readonly #running = new Map<ChildProcess, { readonly name: string; readonly ended: Promise<void> }>();
  readonly #calls: Call[] = [];
  readonly #complaints: string[] = [];
  #started = 0;
  #ending = false;

  constructor(options: ClientsOptions) {
    this.#options = options;
    for (let i = 0; i < options.many; i++) this.#start();
  }

  get calls(): readonly Call[] {
    return this.#calls;
  }

  /** Those that run, by name. */
  get running(): ReadonlyMap<string, ChildProcess> {
    return new Map([...this.#running].map(([child, { name }]) => [name, child]));
  }

  /** Clients that ended by themselves, or wrote what they do not. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  /**
   * Lets them end what they do.
   * @param limit milliseconds, then they are killed: what they had not ended is in their calls, as `open`
   */
  async end(limit: number): Promise<void> {
    this.#ending = true;
    for (const child of this.#running.keys()) child.stdin!.end();
    const timer = setTimeout(() => {
      for (const child of this.#running.keys()) child.kill('SIGKILL');
    }, limit);
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
    clearTimeout(timer);
  }

  #start(): void {
    const { cluster, program, seed, hosts } = this.#options;
    const number = this.#started++;
    const name = `client-${number}`;
    const child = cluster.start([python, program, 'call', name, `${seed} ${number}`, ...hosts]);
    // Of one that was killed.
    child.stdin!.on('error', () => undefined);
    let complaint = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2_000);
    });
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const call = callOf(line);
      if (call) this.#calls.push(call);
    });
    const ended = new Promise<void>((resolve) => {
      child.once('close', (code, signal) => {
        this.#running.delete(child);
        if (signal !== 'SIGKILL' && code !== 0)
          this.#complaints.push(`${name} ended with ${signal ?? code}: ${complaint}`);
        if (!this.#ending) this.#start();
        resolve();
      });
    });
    this.#running.set(child, { name, ended });
  }
}
