/**
 * One punch: two members agree on pairs of ports, and both connect (simultaneous open; "hole punching" in the Boxer
 * papers). Here is the side that sends the request; the other side is respond.ts.
 */
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Location } from '../../../contract/control/location';
import { parseAddress } from '../../../contract/manifest/address';
import type { NatReport, PeerMessage, Purpose } from '../../../contract/peer/peer-messages';
import { type Opening, OpeningError } from '../connector';
import { isPredictable, isReached, unpunchable } from '../nat/nat';
import type { PeerMember } from '../peer-member';
import { isTaken, meetingPoint, type PunchPorts } from './punch-ports';

export interface PunchOptions {
  readonly punchPorts: PunchPorts;
  /** The message is lost when that member does not run. */
  readonly send: (peer: PeerMember, message: PeerMessage) => void;
  /** This member's own; waits until it is known. */
  readonly natReport: () => Promise<NatReport>;
  /** The same as far as it is known now. */
  readonly natNow: () => NatReport;
}

/** What the two sides have agreed on: this one's ports and, for each, the other's. */
export interface Agreed {
  readonly base: Pick<Opening, 'peer' | 'epoch' | 'local' | 'remote' | 'timeout' | 'send' | 'expect'>;
  readonly ports: readonly number[];
  readonly to: readonly number[];
  /** Resolves when the other side has proved itself in its answer: see `Connector.open`. */
  readonly proved?: Promise<void>;
}

/** Two members cannot be connected in this way. */
export class PunchError extends Error {
  readonly code = 'NOT_PUNCHED';
  /**
   * @param busy with other ports it may work
   * @param absent there was nobody to agree with: it says nothing of the way there
   */
  constructor(
    message: string,
    readonly busy = false,
    readonly absent = false,
  ) {
    super(message);
    this.name = 'PunchError';
  }
}

/** Milliseconds in which a punch must succeed: one retransmission of a lost SYN, and a bit. */
export const PUNCH_LIMIT = 2_000;

/** Why this member cannot punch. A NAT report of kind `unknown` is final here. */
export function ownProblem(mine: NatReport): string | undefined {
  return mine.kind === 'unknown' ? 'its NAT could not be found out' : unpunchable(mine);
}

/** Why two members that are not behind the same address cannot be connected. */
function punchProblem(mine: NatReport, theirs: NatReport): string | undefined {
  const own = ownProblem(mine);
  return own === undefined ? unpunchable(theirs) : `on this side: ${own}`;
}

type PunchMessage = Extract<PeerMessage, { type: 'punch' }>;
export type PunchAnswer = Extract<PeerMessage, { type: 'punching' | 'unpunchable' }>;
type Punching = Pick<Extract<PeerMessage, { type: 'punching' }>, 'address' | 'ports'>;

interface Stopped {
  readonly reason: string;
  readonly busy?: boolean;
  /** What the other side waits for does not get there. */
  readonly closed?: boolean;
  /** There is no other side. */
  readonly absent?: boolean;
}

/**
 * A public address that waits has said so over the seed. A connection is there about then: after so many times as long,
 * and a bit of milliseconds, something lets nothing in that it has not seen the way out of.
 */
const OVERDUE = { times: 2, bit: 50 } as const;

interface Punch {
  /** Answers of other hosts are ignored. */
  readonly host: string;
  readonly epoch: number;
  /** Aborted with the reason (`Stopped`). */
  readonly stopping: AbortController;
  /** Aborted when the caller gives up, too. */
  readonly ending: AbortSignal;
  /** Absent: the other side's ports are known. They may have been guessed, and come after all. */
  onPorts?: (answer: Punching) => void;
}

/** The first bytes that the requesting side sends and expects; for the other side they are swapped. */
export const proofs = (proof: Uint8Array) => ({ send: proof.subarray(0, 16), expect: proof.subarray(16) });

export class Puncher {
  readonly #punches = new Map<number, Punch>();
  /** Hosts that everybody reaches, but where something lets nothing in unasked, and as which epoch. */
  readonly #closed = new Map<string, number>();
  #lastId = 0;

  constructor(private readonly options: PunchOptions) {}

  /**
   * Agrees with the other side on so many connections.
   * @param open makes them: its result is the punch's
   * @throws PunchError
   */
  async punch<T>(
    peer: PeerMember,
    count: number,
    purpose: Purpose,
    open: (agreed: Agreed, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { punchPorts, natReport, natNow } = this.options;
    const isOpen = isReached(peer.nat) && this.#closed.get(peer.host) !== peer.epoch;
    // A guest's connection is faster than a punched one, and may come from any port: the own NAT does not matter.
    const waits = isOpen && purpose.for === 'connection';
    const mine = waits ? natNow() : await natReport();
    const point = meetingPoint(mine, peer.nat);
    const near = point.near === true;
    // What everybody reaches is connected to, from behind any NAT.
    const direct = !near && isOpen && (waits || !isPredictable(mine));
    const problem = near ? point.problem : direct ? undefined : punchProblem(mine, peer.nat);
    if (problem !== undefined) throw new PunchError(problem);
    const stopping = new AbortController();
    const ending = AbortSignal.any([signal, stopping.signal]);
    setMaxListeners(0, ending);
    const ports = Array.from({ length: count }, () => punchPorts.ownPort(mine));
    const opened = await punchPorts.open(mine, near || direct, ports, ending).catch((error: Error) => {
      throw new PunchError(`on this side: a port cannot be probed: ${error.message}`, isTaken(error));
    });
    // An address may be shared with strangers: the agreed ports alone do not prove which member is met there.
    const proof = purpose.for === 'connection' ? randomBytes(32) : undefined;
    const proved = purpose.for === 'connection' ? { ...purpose, proof: proof?.toString('base64') } : purpose;
    const id = ++this.#lastId;
    const message: PunchMessage = {
      type: 'punch',
      id,
      near: point.near,
      ...(direct && { direct }),
      address: point.mine,
      from: opened.map(({ seen }) => seen),
      purpose: proved,
    };
    const punch: Punch = { host: peer.host, epoch: peer.epoch, stopping, ending };
    this.#punches.set(id, punch);
    try {
      const local = parseAddress(mine.localAddress)!;
      const { address, epoch } = peer;
      const base = { peer: address, epoch, local, timeout: PUNCH_LIMIT, ...(proof && proofs(proof)) };
      const openTo = (theirs: Punching, until: AbortSignal, proved?: Promise<void>) =>
        open({ base: { ...base, remote: parseAddress(theirs.address)! }, ports, to: theirs.ports, proved }, until);
      if (direct && proof) return await this.#direct(peer, point.theirs, message, punch, openTo);
      if (!near && peer.nat.kind === 'unknown') return await this.#guess(peer, point.theirs, message, punch, openTo);
      return await openTo(await this.#agree(peer, point.theirs, message, punch), ending);
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
      const { reason, busy, closed, absent }: Stopped = stopping.signal.reason;
      if (closed) this.#closed.set(peer.host, peer.epoch);
      throw new PunchError(`the other side: ${reason}`, closed ? !ownProblem(await natReport()) : busy, absent);
    } finally {
      this.#punches.delete(id);
      for (const port of opened) port.close();
    }
  }

  /** An answer from the other side. */
  answered(from: string, message: PunchAnswer): void {
    const punch = this.#punches.get(message.id);
    if (punch?.host !== from) return;
    if (message.type === 'punching') punch.onPorts?.(message);
    else punch.stopping.abort(message satisfies Stopped);
  }

  /** Where the host is now: what was sent to an epoch that has ended meanwhile may have got lost with it. */
  located({ host, epoch, state }: Pick<Location, 'host' | 'epoch' | 'state'>): void {
    const ended = state === 'running' || state === 'allocating' ? epoch - 1 : epoch;
    for (const punch of this.#punches.values()) {
      if (punch.host !== host || punch.epoch > ended) continue;
      punch.stopping.abort({ reason: `epoch ${punch.epoch} is not there any more`, absent: true } satisfies Stopped);
    }
  }

  /** The seed could not deliver the message with this id. */
  undeliverable(id: number, reason: string): void {
    this.#punches.get(id)?.stopping.abort({ reason, absent: true } satisfies Stopped);
  }

  /**
   * The other side waits at a public address, and answers as soon as it does. That is its proof, a round trip earlier
   * than over the connection.
   */
  async #direct<T>(
    peer: PeerMember,
    address: string,
    message: PunchMessage,
    punch: Punch,
    open: (theirs: Punching, until: AbortSignal, proved: Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { punchPorts, send } = this.options;
    const ports = message.from.map(() => punchPorts.pairedPort(peer.nat, `to ${peer.host}`));
    const began = performance.now();
    let overdue: NodeJS.Timeout | undefined;
    const proved = new Promise<void>((resolve) => {
      punch.onPorts = () => {
        resolve();
        const stopped = { reason: 'nothing is let in there that was not asked for', closed: true } satisfies Stopped;
        const left = OVERDUE.times * (performance.now() - began) + OVERDUE.bit;
        overdue ??= setTimeout(() => punch.stopping.abort(stopped), left);
      };
    });
    try {
      send(peer, { ...message, to: ports });
      return await open({ address, ports }, punch.ending, proved);
    } finally {
      clearTimeout(overdue);
    }
  }

  /**
   * A host that has just been allocated has not reported its NAT yet. Most preserve ports: it is connected to as if its
   * NAT did. It answers if it does not.
   */
  async #guess<T>(
    peer: PeerMember,
    address: string,
    message: PunchMessage,
    punch: Punch,
    open: (theirs: Punching, until: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { punchPorts, send } = this.options;
    const wrong = new AbortController();
    const until = AbortSignal.any([punch.ending, wrong.signal]);
    setMaxListeners(0, until);
    let named: Punching | undefined;
    punch.onPorts = (answer) => {
      named = { address, ports: answer.ports };
      wrong.abort();
    };
    const ports = message.from.map(() => punchPorts.pairedPort(peer.nat, `to ${peer.host}`));
    send(peer, { ...message, to: ports, guess: true });
    try {
      return await open({ address, ports }, until);
    } catch (error) {
      if (!named || punch.ending.aborted) throw error;
      return open(counted(named, message), punch.ending);
    }
  }

  /**
   * Sends the message. @param address where the other side is met, as far as it is known here @returns where it
   * connects from
   */
  async #agree(peer: PeerMember, address: string, message: PunchMessage, punch: Punch): Promise<Punching> {
    const { punchPorts, send } = this.options;
    const count = message.from.length;
    // Its address behind its NAT is known once it has reported.
    if (message.near ? peer.nat.kind !== 'unknown' : isPredictable(peer.nat)) {
      const ports = Array.from({ length: count }, () => punchPorts.pairedPort(peer.nat, `to ${peer.host}`));
      send(peer, { ...message, to: ports });
      return { address, ports };
    }
    const answer = await answerTo(punch, () => send(peer, message));
    const { address: there, ports } = counted(answer, message);
    return { address: message.near ? there : address, ports };
  }
}

/** @throws PunchError the other side did not name a port for each of ours */
function counted(theirs: Punching, { from }: PunchMessage): Punching {
  const { length } = theirs.ports;
  if (length !== from.length) throw new PunchError(`the other side named ${length} ports, not ${from.length}`);
  return theirs;
}

/** The other side has to probe its ports first. */
function answerTo(punch: Punch, ask: () => void): Promise<Punching> {
  const { stopping, ending } = punch;
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => stopping.abort({ reason: 'it did not answer' }), PUNCH_LIMIT);
    const onAbort = () => {
      clearTimeout(limit);
      reject(new OpeningError(0));
    };
    ending.addEventListener('abort', onAbort, { once: true });
    punch.onPorts = (answer) => {
      clearTimeout(limit);
      ending.removeEventListener('abort', onAbort);
      resolve(answer);
    };
    ask();
  });
}
