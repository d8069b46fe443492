/**
 * One punch: two members agree on pairs of ports, and both connect (simultaneous open; "hole punching" in the Boxer papers). This
 * is the side that asks; the other one is respond.ts.
 */
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { parseAddress } from '../../../contract/manifest/address';
import type { MemberMessage, NatReport, Purpose } from '../../../contract/peer/peer-messages';
import { type Opening, OpeningError } from '../connector';
import { isPredictable, unpunchable } from '../nat/nat';
import { isTaken, meetingPoint, type PunchPorts } from './punch-ports';

/** The other side, as its location tells of it. */
export interface Other {
  readonly host: string;
  /** Virtual address. */
  readonly address: number;
  readonly epoch: number;
  readonly nat: NatReport;
}

export interface PunchOptions {
  readonly punchPorts: PunchPorts;
  /** Lost when that member does not run. */
  readonly send: (other: Other, message: MemberMessage) => void;
  /** This member's own; waits until it is known. */
  readonly natReport: () => Promise<NatReport>;
}

/** What the two sides have agreed on: this one's ports and, for each, the other's. */
export interface Agreed {
  readonly base: Pick<Opening, 'peer' | 'epoch' | 'local' | 'remote' | 'timeout' | 'send' | 'expect'>;
  readonly ports: readonly number[];
  readonly to: readonly number[];
}

export interface Puncher {
  /**
   * Agrees with the other side on so many connections.
   * @param open makes them: says what becomes of the punch
   * @throws PunchError
   */
  punch<T>(
    other: Other,
    count: number,
    purpose: Purpose,
    open: (agreed: Agreed, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>;
  /** An answer from the other side. */
  answered(from: string, message: MemberMessage): void;
  /** The seed could not deliver the message with this id. */
  undeliverable(id: number, reason: string): void;
}

/** Two members cannot be connected in this way. */
export class PunchError extends Error {
  readonly code = 'NOT_PUNCHED';
  /** @param busy with other ports it may work */
  constructor(
    message: string,
    readonly busy = false,
  ) {
    super(message);
    this.name = 'PunchError';
  }
}

/** Milliseconds in which a punch must succeed: one retransmission of a lost SYN, and a bit. */
export const PUNCH_LIMIT = 2_000;

/** Why this member cannot punch. What is not known of our own NAT by now is not going to be. */
export function ownProblem(mine: NatReport): string | undefined {
  return mine.kind === 'unknown' ? 'its NAT could not be found out' : unpunchable(mine);
}

/** Why two members that are not behind the same address cannot be connected. */
function punchProblem(mine: NatReport, theirs: NatReport): string | undefined {
  const own = ownProblem(mine);
  return own === undefined ? unpunchable(theirs) : `on this side: ${own}`;
}

type Punching = Pick<Extract<MemberMessage, { type: 'punching' }>, 'address' | 'ports'>;

interface Stopped {
  readonly reason: string;
  readonly busy?: boolean;
}

interface Open {
  /** Nobody else answers. */
  readonly host: string;
  /** Aborted with what stopped it. */
  readonly stopping: AbortController;
  /** Absent: the other side's ports are known. */
  readonly onPorts?: (answer: Punching) => void;
}

/** What the side that asks says first, and what it hears first; the other side has them the other way round. */
export const proofs = (proof: Uint8Array) => ({ send: proof.subarray(0, 16), expect: proof.subarray(16) });

export function createPuncher({ punchPorts, send, natReport }: PunchOptions): Puncher {
  const punches = new Map<number, Open>();
  let lastId = 0;

  /** The other side has to find out first what its NAT makes of its ports. */
  const askForPorts = (id: number, { host, stopping }: Open, signal: AbortSignal, ask: () => void) =>
    new Promise<Punching>((resolve, reject) => {
      const limit = setTimeout(() => stopping.abort({ reason: 'it did not answer' }), PUNCH_LIMIT);
      const onAbort = () => {
        clearTimeout(limit);
        reject(new OpeningError(0));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const onPorts = (answer: Punching) => {
        clearTimeout(limit);
        signal.removeEventListener('abort', onAbort);
        resolve(answer);
      };
      punches.set(id, { host, stopping, onPorts });
      ask();
    });

  const punch = async <T>(
    other: Other,
    count: number,
    purpose: Purpose,
    open: (agreed: Agreed, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> => {
    const mine = await natReport();
    const point = meetingPoint(mine, other.nat);
    const near = point.near === true;
    const problem = near ? point.problem : punchProblem(mine, other.nat);
    if (problem !== undefined) throw new PunchError(problem);
    const local = parseAddress(mine.localAddress)!;
    let remote = parseAddress(point.theirs)!;
    const id = ++lastId;
    const stopping = new AbortController();
    const ending = AbortSignal.any([signal, stopping.signal]);
    setMaxListeners(0, ending);
    const ports = Array.from({ length: count }, () => punchPorts.ownPort(mine));
    const opened = await punchPorts.open(mine, near, ports, ending).catch((error: Error) => {
      throw new PunchError(`on this side: a port cannot be probed: ${error.message}`, isTaken(error));
    });
    // An address may be shared with strangers: the agreed ports alone do not say who is met there.
    const proof = purpose.for === 'connection' ? randomBytes(32) : undefined;
    const message = {
      type: 'punch',
      id,
      near: point.near,
      address: point.mine,
      from: opened.map(({ seen }) => seen),
      purpose: proof ? { ...purpose, proof: proof.toString('base64') } : purpose,
    } as const;
    try {
      let to: readonly number[];
      punches.set(id, { host: other.host, stopping });
      // Where it is behind its NAT, the seed does not know before it has said so itself.
      if (near ? other.nat.kind !== 'unknown' : isPredictable(other.nat)) {
        to = ports.map(() => punchPorts.pairedPort(other.nat, `to ${other.host}`));
        send(other, { ...message, to });
      } else {
        const answer = await askForPorts(id, { host: other.host, stopping }, ending, () => send(other, message));
        to = answer.ports;
        if (near) remote = parseAddress(answer.address)!;
      }
      if (to.length !== count) throw new PunchError(`the other side named ${to.length} ports, not ${count}`);
      const { address: peer, epoch } = other;
      const base = { peer, epoch, local, remote, timeout: PUNCH_LIMIT, ...(proof && proofs(proof)) };
      return await open({ base, ports, to }, ending);
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
      const { reason, busy }: Stopped = stopping.signal.reason;
      throw new PunchError(`the other side: ${reason}`, busy);
    } finally {
      punches.delete(id);
      for (const port of opened) port.close();
    }
  };

  return {
    punch,
    answered: (from, message) => {
      if (message.type !== 'punching' && message.type !== 'unpunchable') return;
      const open = punches.get(message.id);
      if (open?.host !== from) return;
      if (message.type === 'punching') open.onPorts?.(message);
      else open.stopping.abort(message satisfies Stopped);
    },
    undeliverable: (id, reason) => punches.get(id)?.stopping.abort({ reason } satisfies Stopped),
  };
}
