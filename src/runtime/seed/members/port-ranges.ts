import type { Log } from '../../control/session-options';

/** Ports to punch from, for a member behind a public address. */
export interface PortRange {
  /** First and count. */
  readonly ports: readonly [number, number];
  /** Gives them back. */
  free(): void;
}

/** Below the ports that kernels choose themselves (from 32768 on), above those that programs listen on. */
const FIRST = 10_240;
const COUNT = 704;
const SLICES = 32;

/**
 * Members that are seen at one public address may be behind one NAT, where two that punch from the same port collide:
 * each gets ports of its own, as far as they go.
 */
export class PortRanges {
  readonly #log: Log;
  /** By address: how many members have each slice. */
  readonly #taken = new Map<string, number[]>();

  constructor(log: Log) {
    this.#log = log;
  }

  take(address: string): PortRange {
    const slices = this.#taken.get(address) ?? Array<number>(SLICES).fill(0);
    this.#taken.set(address, slices);
    const least = Math.min(...slices);
    const slice = slices.indexOf(least);
    if (least > 0)
      this.#log('warn', `more than ${SLICES} members at ${address}: some of them share ports`, { address });
    slices[slice] += 1;
    const free = () => {
      slices[slice] -= 1;
      if (slices.every((members) => members === 0)) this.#taken.delete(address);
    };
    return { ports: [FIRST + slice * COUNT, COUNT], free };
  }
}
