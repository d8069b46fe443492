/**
 * Which connections have survived? After a freeze a NAT may have forgotten them, and it may forget or change them at any
 * time (silence.ts). Each is probed, and one that nothing is acknowledged on although its other side is up is reset. The
 * other side does the same with its end.
 */
import type { PeerConnections } from './peer-connections';

export interface SurvivalOptions {
  readonly peers: Pick<PeerConnections, 'probe' | 'alive' | 'lost'>;
  /** Whether a member is up and would answer, by its virtual address. */
  readonly isUp: (address: number) => boolean;
}

/** A member, by its virtual address: a host, or a client that has it. */
export interface PeerId {
  readonly address: number;
  readonly client: boolean;
}

type Connection = ReturnType<PeerConnections['alive']>[number];

/** Milliseconds between looks. */
const INTERVAL = 500;
/** Milliseconds after the start at which connections are probed again that have not answered: a probe may be lost. */
const AGAIN: readonly number[] = [500, 1_500];
/** Milliseconds without an answer to the first probe: lost. */
const PATIENCE = 3_000;
/**
 * The kernel sends no probe where data waits for an acknowledgement: it sends the data again, in its own time. Milliseconds
 * without an answer to that: lost.
 */
const RETRANSMITTED_PATIENCE = 1_500;
/**
 * Milliseconds between two rounds about one member: each costs its guests a signal. It is answered once in so many of
 * them at most, too.
 */
const LEAST = 2_000;
const LEAST_ANSWER = 1_000;
/** For so long after it was heard of last (milliseconds), the other side is there. */
const HEARD = 5_000;

interface Round {
  readonly since: number;
  /** When the other side was heard of last, other than by these connections. */
  heard: number;
  looks: number;
  /** By cookie: segments that had been sent again when it began. */
  readonly before: ReadonlyMap<number, number>;
  /** By cookie: when more had been sent again. */
  readonly again: Map<number, number>;
  readonly concerns: (connection: Pick<Connection, 'peer' | 'epoch'>) => boolean;
}

export class Survival {
  readonly #options: SurvivalOptions;
  /** By member; `all`: the connections with any. */
  readonly #rounds = new Map<string, Round>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SurvivalOptions) {
    this.#options = options;
  }

  /** This host was frozen until now, or its NAT has forgotten it. */
  thawed(): void {
    this.#rounds.delete('all');
    this.#begin('all', () => true);
  }

  /**
   * That member is there, and something is sent to it in vain. Said again and again while that is so.
   * @returns whether it is to be answered; it may say so more often than is good for anybody
   */
  doubt({ address, client }: PeerId): boolean {
    const key = `${address} ${client}`;
    const round = this.#rounds.get(key);
    if (!round) {
      this.#begin(key, ({ peer, epoch }) => peer === address && (epoch === 0) === client);
      return true;
    }
    const now = performance.now();
    if (now - round.heard < LEAST_ANSWER) return false;
    round.heard = now;
    return true;
  }

  close(): void {
    this.#rounds.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #begin(key: string, concerns: Round['concerns']): void {
    const { peers } = this.#options;
    const now = performance.now();
    const before = new Map(
      peers.alive().flatMap((one) => (concerns(one) ? [[one.cookie, one.retransmitted ?? 0] as const] : [])),
    );
    this.#rounds.set(key, { since: now, heard: now, looks: 0, before, again: new Map(), concerns });
    if (before.size > 0) peers.probe(concerns);
    this.#timer ??= setTimeout(this.#look, INTERVAL);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const connections = this.#options.peers.alive();
    for (const [key, round] of this.#rounds) if (this.#isOver(round, connections)) this.#rounds.delete(key);
    if (this.#rounds.size > 0) this.#timer = setTimeout(this.#look, INTERVAL);
  };

  #isOver(round: Round, connections: readonly Connection[]): boolean {
    const { peers, isUp } = this.#options;
    const now = performance.now();
    const elapsed = now - round.since;
    const silent = connections.filter(
      ({ cookie, lastAck }) => round.before.has(cookie) && lastAck !== undefined && lastAck > elapsed,
    );
    for (const { cookie, retransmitted = 0 } of silent) {
      const more = retransmitted > round.before.get(cookie)!;
      if (more && !round.again.has(cookie)) round.again.set(cookie, now);
    }
    const there = now - round.heard <= HEARD;
    const lost = silent.filter((one) => (one.epoch === 0 || isUp(one.peer)) && isLost(one, round, now));
    if (there && lost.length > 0) peers.lost(lost.map(({ cookie }) => cookie));
    if (silent.length === lost.length || !there) return elapsed >= LEAST;
    if (elapsed >= (AGAIN[round.looks] ?? Number.POSITIVE_INFINITY)) {
      round.looks += 1;
      const cookies = new Set(silent.map(({ cookie }) => cookie));
      peers.probe(({ cookie }) => cookies.has(cookie));
    }
    return false;
  }
}

function isLost({ cookie, sendQueue, probing }: Connection, { since, again }: Round, now: number): boolean {
  const sentAgain = again.get(cookie);
  if (sentAgain !== undefined) return now - sentAgain >= RETRANSMITTED_PATIENCE && now - since >= PATIENCE;
  // A guest that stands still has not sent its probe.
  return sendQueue === 0 && !probing && now - since >= PATIENCE;
}
