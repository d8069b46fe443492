import { encodeFrame } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Channel } from '../../control/channel';

type Passed = Extract<FromSeed, { type: 'peerMessage' | 'relayed' }>;

/**
 * Bytes of other members that may wait for one: the rest of its queue is the seed's, so what they send never costs it
 * its connection.
 */
export const MOST_WAITING = 2 * 1024 * 1024;
/**
 * Of what is free, one sender may take this part: whoever comes next finds some left, however many have been there
 * before (as switches share a buffer: "dynamic thresholds").
 */
const SHARE = 1 / 4;

/** What other members have sent to one member, and what it has not read yet. */
export class Inbox {
  readonly #channel: Channel<FromSeed>;
  /** In the order sent: whose bytes end where in what the channel has sent. */
  readonly #waiting: Array<{ readonly from: object; readonly bytes: number; readonly end: number }> = [];
  readonly #ofSender = new Map<object, number>();
  #total = 0;

  constructor(channel: Channel<FromSeed>) {
    this.#channel = channel;
  }

  /** Sends it. @returns why this sender may not send it now; undefined: it is sent */
  pass(from: object, frame: Passed): string | undefined {
    this.#forgetRead();
    const encoded = encodeFrame(frame);
    const bytes = encoded.length;
    const own = this.#ofSender.get(from) ?? 0;
    const allowed = Math.floor((MOST_WAITING - this.#total) * SHARE);
    if (own + bytes > allowed) return `it reads slowly: ${own} bytes of yours wait for it; allowed now: ${allowed}`;
    if (!this.#channel.sendEncoded([encoded])) return 'its connection is closed';
    this.#waiting.push({ from, bytes, end: this.#channel.sent });
    this.#ofSender.set(from, own + bytes);
    this.#total += bytes;
    return undefined;
  }

  #forgetRead(): void {
    const waiting = this.#waiting;
    const read = this.#channel.sent - this.#channel.queued;
    let gone = 0;
    for (; gone < waiting.length && waiting[gone].end <= read; gone++) {
      const { from, bytes } = waiting[gone];
      const left = this.#ofSender.get(from)! - bytes;
      if (left === 0) this.#ofSender.delete(from);
      else this.#ofSender.set(from, left);
      this.#total -= bytes;
    }
    waiting.splice(0, gone);
  }
}
