/**
 * The guests' connections with other members, as their shims have noted them in the run directory's sockets file, and
 * the marks that the shims heed. Guests can write there what they like, which harms nobody but themselves.
 */
import * as abi from '../../../contract/abi/generated';

/** One connection of a guest's; it may have been closed since. */
export interface Handoff {
  /** SO_COOKIE. */
  readonly cookie: number;
  /** Virtual address of the other side: of a host, also where the guest has connected to a service. */
  readonly peer: number;
  /** The port at this side: one that guests listen on, of a connection that was accepted. */
  readonly localPort: number;
  /** Its epoch; 0: a client. */
  readonly epoch: number;
  readonly ended: boolean;
  /** Its shim has not sent the probe yet that it was marked for. */
  readonly probing: boolean;
}

export type Mark = 'ended' | 'probe';

export interface Handoffs {
  list(): Handoff[];
  /** Marks connections that `which` says. @returns how many were not marked so before */
  mark(mark: Mark, which: (handoff: Handoff) => boolean): number;
}

const SLOT = abi.im_socket_slot;
const WORDS = SLOT.SIZE / 4;
const SLOTS = Math.floor(abi.IM_TRAFFIC_OFFSET / SLOT.SIZE);
const [SEQ, FLAGS, COOKIE, PEER, PORTS, ERROR, EPOCH] = [
  ...[SLOT.seq, SLOT.flags, SLOT.cookie, SLOT.peer],
  ...[SLOT.ports, SLOT.error, SLOT.epoch],
].map((o) => o / 4);
const BITS = { ended: abi.IM_SOCKET_ENDED, probe: abi.IM_SOCKET_PROBE } as const;

/** @param memory the sockets file, mapped */
export function openHandoffs(memory: ArrayBuffer): Handoffs {
  const words = new Uint32Array(memory, 0, SLOTS * WORDS);
  const long = (at: number) => words[at] + words[at + 1] * 2 ** 32;

  const isError = (slot: number) => (words[slot + FLAGS] & abi.IM_SOCKET_ERROR) !== 0;

  /**
   * Where connections of this kind are. Nearly all slots are empty, and all are looked at: in one loop that calls
   * nothing.
   */
  const used = (): number[] => {
    const slots: number[] = [];
    for (let slot = 0; slot < words.length; slot += WORDS) {
      if ((words[slot + FLAGS] & abi.IM_SOCKET_HANDOFF) !== 0) slots.push(slot);
    }
    return slots;
  };
  /** Undefined: it is being written just now. */
  const read = (slot: number): Handoff | undefined => {
    const seq = Atomics.load(words, slot + SEQ);
    const handoff = {
      cookie: long(slot + COOKIE),
      peer: (isError(slot) ? 0 : words[slot + ERROR]) || words[slot + PEER],
      localPort: words[slot + PORTS] & 0xffff,
      epoch: long(slot + EPOCH),
      ended: (words[slot + FLAGS] & abi.IM_SOCKET_ENDED) !== 0,
      probing: (words[slot + FLAGS] & abi.IM_SOCKET_PROBE) !== 0,
    };
    return seq % 2 === 0 && Atomics.load(words, slot + SEQ) === seq ? handoff : undefined;
  };
  const set = (slot: number, bit: number): boolean => {
    const seq = Atomics.load(words, slot + SEQ);
    if (seq % 2 === 1 || Atomics.compareExchange(words, slot + SEQ, seq, seq + 1) !== seq) return false;
    const before = Atomics.or(words, slot + FLAGS, bit);
    Atomics.store(words, slot + SEQ, seq + 2);
    return (before & bit) === 0;
  };

  return {
    list: () => {
      const found: Handoff[] = [];
      for (const slot of used()) {
        const handoff = read(slot);
        if (handoff) found.push(handoff);
      }
      return found;
    },
    mark: (mark, which) => {
      let count = 0;
      for (const slot of used()) {
        const handoff = read(slot);
        if (handoff && which(handoff) && set(slot, BITS[mark])) count += 1;
      }
      return count;
    },
  };
}
