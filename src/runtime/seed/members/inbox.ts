import { encodeFrame } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Channel } from '../../control/channel';

type Passed = Extract<FromSeed, { type: 'peerMessage' | 'relayed' }>;

/** What other members have sent to one member, and what it has not read yet. */
export interface Inbox {
  /** Sends it, or says why this sender may not send it now. */
  pass(from: object, frame: Passed): string | undefined;
}

/** Bytes of other members that may wait for one: the rest of its queue is the seed's, so what they send never costs it its connection. */
export const MOST_WAITING = 2 * 1024 * 1024;
/**
 * Of what is free, one sender may take this part: whoever comes next finds some left, however many have been there before (as
 * switches share a buffer: "dynamic thresholds").
 */
const SHARE = 1 / 4;

export function inboxOf(channel: Channel<FromSeed>): Inbox {
  /** In the order sent: whose bytes end where in what the channel has sent. */
  const waiting: Array<{ readonly from: object; readonly bytes: number; readonly end: number }> = [];
  const ofSender = new Map<object, number>();
  let total = 0;

  const forgetRead = () => {
    const read = channel.sent - channel.queued;
    let gone = 0;
    for (; gone < waiting.length && waiting[gone].end <= read; gone++) {
      const { from, bytes } = waiting[gone];
      const left = ofSender.get(from)! - bytes;
      if (left === 0) ofSender.delete(from);
      else ofSender.set(from, left);
      total -= bytes;
    }
    waiting.splice(0, gone);
  };

  return {
    pass: (from, frame) => {
      forgetRead();
      const encoded = encodeFrame(frame);
      const bytes = encoded.length;
      const own = ofSender.get(from) ?? 0;
      const allowed = Math.floor((MOST_WAITING - total) * SHARE);
      if (own + bytes > allowed) return `it reads slowly: ${own} bytes of yours wait for it; allowed now: ${allowed}`;
      if (!channel.sendEncoded([encoded])) return 'its connection is closed';
      waiting.push({ from, bytes, end: channel.sent });
      ofSender.set(from, own + bytes);
      total += bytes;
      return undefined;
    },
  };
}
