/**
 * What the machines of a seed were sent and what they wanted done, as lines of JSON in a file: `model/replay.ts` reads
 * them. Off unless `IMAGINARY_SEED_TRACE` names the file. Each line is written before its effects are carried out, so that
 * a seed that is killed leaves none out.
 */
import { openSync, writeSync } from 'node:fs';
import type { Log } from '../control/session-options';
import type { Effect } from './machine/effects';
import type { MachineEvent, Moment } from './machine/events';
import type { Settings } from './machine/state';

/** Absolute, and the same for all seeds of a cluster: each appends. */
export const TRACE_ENV = 'IMAGINARY_SEED_TRACE';

/** A seed begins; a host as it begins; one step of its machine; the end, where there was no room for more. */
export type TraceLine =
  | { readonly type: 'seed'; readonly version: 1; readonly pid: number; readonly wall: number }
  | { readonly type: 'host'; readonly host: string; readonly settings: Settings; readonly at: number }
  | {
      readonly type: 'step';
      readonly host: string;
      readonly event: MachineEvent;
      readonly moment: Moment;
      readonly effects: readonly Effect[];
    }
  | { readonly type: 'full' };

/** Bytes that one seed writes. */
const MOST = 1024 * 1024 * 1024;

export class TraceWriter {
  readonly #fd: number;
  readonly #log: Log;
  readonly #most: number;
  #written = 0;
  #ended = false;

  /** @throws the error of open(2) */
  constructor(file: string, log: Log, most = MOST) {
    this.#fd = openSync(file, 'a', 0o600);
    this.#log = log;
    this.#most = most;
    this.write({ type: 'seed', version: 1, pid: process.pid, wall: Date.now() });
  }

  /** A file that cannot be written to ends the trace, and nothing else. */
  write(line: TraceLine): void {
    if (this.#ended) return;
    const text = `${JSON.stringify(line, withoutEnvironment)}\n`;
    const full = this.#written + text.length > this.#most;
    try {
      this.#written += writeSync(this.#fd, full ? `${JSON.stringify({ type: 'full' } satisfies TraceLine)}\n` : text);
      if (full) this.#end(`it has ${this.#most} bytes`);
    } catch (error) {
      this.#end((error as Error).message);
    }
  }

  #end(reason: string): void {
    this.#ended = true;
    this.#log('warn', `the trace ends: ${reason}`);
  }
}

/** What guests are given may be secret, and no step looks at it. */
function withoutEnvironment(key: string, value: unknown): unknown {
  return key === 'environment' ? undefined : value;
}
