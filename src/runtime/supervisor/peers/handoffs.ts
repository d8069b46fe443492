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

/** A slot whose marks change meanwhile is looked at again, so many times: a guest may change them without end. */
const LOOKS = 8;

/** A slot as it was at one moment. */
interface Seen {
  readonly handoff: Handoff;
  readonly seq: number;
  readonly flags: number;
}

const both = (seq: number, flags: number) => (BigInt(flags) << 32n) | BigInt(seq);

/** @param memory the sockets file, mapped */
export function openHandoffs(memory: ArrayBuffer): Handoffs {
  const words = new Uint32Array(memory, 0, SLOTS * WORDS);
  /** The first two words of a slot, `seq` and `flags`, as one number. */
  const pairs = new BigUint64Array(memory, 0, (SLOTS * WORDS) / 2);
  const long = (at: number) => words[at] + words[at + 1] * 2 ** 32;

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
  const read = (slot: number): Seen | undefined => {
    for (let look = 0; look < LOOKS; look++) {
      const seq = Atomics.load(words, slot + SEQ);
      if (seq % 2 === 1) return undefined;
      const flags = words[slot + FLAGS];
      const handoff = {
        cookie: long(slot + COOKIE),
        peer: ((flags & abi.IM_SOCKET_ERROR) === 0 && words[slot + ERROR]) || words[slot + PEER],
        localPort: words[slot + PORTS] & 0xffff,
        epoch: long(slot + EPOCH),
        ended: (flags & abi.IM_SOCKET_ENDED) !== 0,
        probing: (flags & abi.IM_SOCKET_PROBE) !== 0,
      };
      if (Atomics.load(words, slot + SEQ) === seq) return { handoff, seq, flags };
    }
    return undefined;
  };
  /** In one step: nobody finds the slot being written. @returns false: it has changed since */
  const set = (slot: number, { seq, flags }: Seen, bit: number): boolean => {
    const [before, after] = [both(seq, flags), both((seq + 2) >>> 0, (flags | bit) >>> 0)];
    return Atomics.compareExchange(pairs, (slot + SEQ) / 2, before, after) === before;
  };
  const mark = (slot: number, bit: number, which: (handoff: Handoff) => boolean): boolean => {
    for (let look = 0; look < LOOKS; look++) {
      const seen = read(slot);
      if (!seen || (seen.flags & bit) !== 0 || !which(seen.handoff)) return false;
      if (set(slot, seen, bit)) return true;
    }
    return false;
  };

  return {
    list: () => {
      const found: Handoff[] = [];
      for (const slot of used()) {
        const seen = read(slot);
        if (seen) found.push(seen.handoff);
      }
      return found;
    },
    mark: (kind, which) => {
      let count = 0;
      for (const slot of used()) if (mark(slot, BITS[kind], which)) count += 1;
      return count;
    },
  };
}
