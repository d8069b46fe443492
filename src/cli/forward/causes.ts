/** Why connects fail, for people: each cause once, until the host connects again. */

import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

export interface Refusal {
  /** `host:port` */
  readonly to: string;
  readonly errno: string;
  readonly reason: string;
}

/** Causes of one destination that are kept apart. What comes beyond is not shown. */
const MOST = 32;

const { EUSERS } = constants.errno as Readonly<Record<string, number>>;
/** As Linux has it; Node.js does not know it everywhere. */
export const FULL = EUSERS ?? 87;

export class Causes {
  readonly #shown = new Map<string, Set<string>>();
  /** What the supervisor said of the destination last. */
  readonly #reasons = new Map<string, Refusal>();

  constructor(private readonly show: (line: string) => void) {}

  /** The supervisor says why; what the program `forward` says of it follows. */
  refused(refusal: Refusal): void {
    this.#reasons.set(refusal.to, refusal);
  }

  /** A connect to that destination has failed. @param count connections that there are */
  failed(to: string, errno: number, count: number): void {
    const name = getSystemErrorName(-errno);
    const known = this.#reasons.get(to);
    const text =
      errno === FULL
        ? `a connection to ${to} was refused: there are ${count} connections, and no more are allowed`
        : `connect to ${to}: ${name}${known?.errno === name ? `: ${known.reason}` : ''}`;
    const shown = this.#shown.get(to) ?? new Set();
    this.#shown.set(to, shown);
    // Epochs and times differ where the cause is the same.
    const cause = text.replaceAll(/\d+/g, '#');
    if (shown.has(cause) || shown.size >= MOST) return;
    shown.add(cause);
    this.show(text);
  }

  /** A connect to that destination has succeeded after others had failed. */
  connected(to: string): void {
    this.#shown.delete(to);
    this.#reasons.delete(to);
  }
}
