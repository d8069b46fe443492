/** What one client sends to one UDP port of the seed, and what it is answered, until nothing comes either way for a while. */
import type { Endpoint } from '../../../contract/peer/peer-messages';

export interface Flow {
  readonly key: string;
  readonly client: Endpoint;
  /** The client's address. */
  readonly address: number;
  /** The host listens, or did when it was located last. */
  met: boolean;
  /** Its locate that is open: datagrams wait for it. */
  locate?: number;
  /** Until when they wait. */
  limit?: NodeJS.Timeout;
  /** Ends it when it is idle. */
  idle?: NodeJS.Timeout;
  readonly waiting: Buffer[];
  bytes: number;
}

/** Of one flow. The oldest ones make room: a client that asks again wants the answer to its last question. */
export const MOST_WAITING = 64;
export const MOST_BYTES = 64 * 1024;
/** Of one exposed port. A host has a descriptor for each. */
export const MOST_FLOWS = 256;

/** One more datagram waits. @returns how many had to go for it */
export function hold(flow: Flow, data: Buffer): number {
  if (data.length > MOST_BYTES) return 1;
  let lost = 0;
  while (flow.waiting.length >= MOST_WAITING || flow.bytes + data.length > MOST_BYTES) {
    flow.bytes -= flow.waiting.shift()!.length;
    lost += 1;
  }
  flow.waiting.push(data);
  flow.bytes += data.length;
  return lost;
}

/** What waits, which waits no longer. */
export function release(flow: Flow): Buffer[] {
  flow.bytes = 0;
  return flow.waiting.splice(0);
}

/** The flows of one exposed port. */
export class Flows {
  readonly #all = new Map<string, Flow>();
  /** Those that the host has not answered, the oldest first: anybody can begin one under any address. */
  readonly #unanswered = new Map<string, Flow>();

  get size(): number {
    return this.#all.size;
  }

  find(key: string): Flow | undefined {
    return this.#all.get(key);
  }

  all(): Iterable<Flow> {
    return this.#all.values();
  }

  get full(): boolean {
    return this.#all.size >= MOST_FLOWS;
  }

  /** The flow that would make room for another one: the oldest that was never answered. */
  get dispensable(): Flow | undefined {
    return this.#unanswered.values().next().value;
  }

  add(flow: Flow): void {
    this.#all.set(flow.key, flow);
    this.#unanswered.set(flow.key, flow);
  }

  answered(flow: Flow): void {
    this.#unanswered.delete(flow.key);
  }

  delete(flow: Flow): boolean {
    this.#unanswered.delete(flow.key);
    return this.#all.delete(flow.key);
  }
}

export const flowKey = ({ address, port }: { readonly address: number; readonly port: number }) => `${address}:${port}`;
