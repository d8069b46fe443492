import { randomBytes } from 'node:crypto';
import { getSystemErrorName } from 'node:util';
import { parseAddress } from '../../../contract/manifest';
import type { PeerMessage, Recipient } from '../../../contract/peer/peer-messages';
import type { DataPort, DataPortEvent, NativeAddon, NativeClients } from '../../../native/addon';
import type { Log } from '../../control/session-options';
import { Allowance } from '../allowance';
import type { Sent } from '../data/waiting-data';
import type { Members } from '../members/members';
import type { Peer } from '../members/peer';
import type { EventLog } from '../operators/events';

export interface RelayOptions {
  readonly native: NativeAddon;
  /** `address:port` */
  readonly listen: string;
  readonly members: Members;
  readonly events: EventLog;
  readonly log: Log;
  /** Of a client that waits at an ingress. */
  readonly onCaller: (event: CallerEvent) => void;
}

export type CallerEvent = Extract<DataPortEvent, { type: 'caller' | 'hello' | 'gone' | 'refused' | 'led' }>;

/** A side of a relayed connection: a member, or a client from outside. */
export type Party = Pick<Peer, 'name' | 'sender'>;

/** A connection of a client from outside: what becomes of it. */
export interface Outside {
  onPaired(): void;
  /** Its other side has not come, or cannot be connected to: the client waits still. */
  onUnused(reason: string): void;
  /** The host will not come: the client waits still. */
  onRefused(reason: string): void;
  onEnded(bytes: readonly [number, number], error: string | undefined): void;
}

const TOKEN_BYTES = 32;
/**
 * Connections that one member may have requested and neither side, or one only, has come for: as many as a function has
 * descriptors.
 */
const MOST_EXPECTED = 1_024;
/** How often a member may doubt others: at once, and each second. Members ask a silent one every 2.5 s. */
const DOUBTS = { burst: 64, rate: 32 };
/** Milliseconds for which a side is probed: longer than it takes until it is found not to be there. */
const PROBED = 30_000;
/** Milliseconds between looks at connections of members that have ended: what is on its way still arrives. */
const SWEEP = 5_000;

type Side = 0 | 1;

/** One relayed connection, between the member that requested it and another one. */
interface Between {
  readonly from: Party;
  readonly to: Peer;
  /** With which the other member comes. */
  readonly token?: string;
  /** Of a client from outside. */
  readonly outside?: Outside;
  /** Why the other side will not come. */
  refused?: string;
  /** Until when which side is probed. */
  readonly probed: Map<Side, NodeJS.Timeout>;
  /** A side has ended with its member: bytes that the other one had been sent at the last look. */
  ending?: { readonly ended: Side; bytes: number };
}

/**
 * Connections through the seed: which members may have one. The bytes never come here: see src/native/relay/relay.h.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #dataPort: DataPort;
  /** Relayed connections that stand or are expected, by id. */
  readonly #open = new Map<number, Between>();
  /** How many are expected, by the member that requested them. */
  readonly #expected = new Map<Party, number>();
  readonly #doubts = new WeakMap<Peer, Allowance>();
  #nextId = 0;
  #sweep: NodeJS.Timeout | undefined;

  /** @throws the error of listen(2) */
  constructor(options: RelayOptions) {
    const { native, listen } = options;
    const colon = listen.lastIndexOf(':');
    this.#options = options;
    this.#dataPort = native.openDataPort(listen.slice(0, colon), Number(listen.slice(colon + 1)), (event) =>
      this.#onEvent(event),
    );
  }

  get port(): number {
    return this.#dataPort.port;
  }

  /**
   * Where a client's connections to this listener are reported as those of `ingress`, if `clients` lets them.
   * @throws Error with the reason
   */
  accept(listener: number, ingress: number, clients: NativeClients | null): void {
    const error = this.#dataPort.accept(listener, ingress, clients);
    if (error !== 0) throw new Error(`connections cannot be accepted: ${getSystemErrorName(-error)}`);
  }

  /** Clients of that ingress are led to an address and port, or (port 0) reported: see `DataPort.lead`. */
  lead(ingress: number, address: number, port: number, epoch: number): boolean {
    return this.#dataPort.lead(ingress, address, port, epoch);
  }

  /** The client's first TLS record is to be reported. False: it is gone. */
  hear(caller: number): boolean {
    return this.#dataPort.hear(caller);
  }

  /** Resets a client's connection. */
  refuse(caller: number): void {
    this.#dataPort.refuse(caller);
  }

  /** The client's socket; -1: it is gone. */
  take(caller: number): number {
    return this.#dataPort.take(caller);
  }

  /** A client that waits from now on, and that this process speaks for: see `DataPort.adopt`. */
  adopt(address: number, port: number) {
    return this.#dataPort.adopt(address, port);
  }

  /** The host is to come for the client that waits. @returns why that cannot be */
  admit(
    caller: number,
    { from, to, message, preface }: { from: Party; to: Peer; message: PeerMessage; preface: Uint8Array },
    outside: Outside,
  ): string | undefined {
    const [ours, theirs] = [randomBytes(TOKEN_BYTES), randomBytes(TOKEN_BYTES)];
    const id = this.#newId();
    if (!this.#dataPort.admit(caller, ours, theirs, id, preface)) return 'the relay is full';
    const token = theirs.toString('base64');
    this.#open.set(id, { from, to, token, probed: new Map(), outside });
    const reason = to.inbox.pass(this, { type: 'relayed', from: from.sender, token, message });
    if (reason === undefined) return undefined;
    // The client waits for another decision.
    this.#open.delete(id);
    this.#dataPort.withdraw(id);
    return reason;
  }

  /** The client that waits is connected to a host that can be reached. @returns why that cannot be */
  connect(
    caller: number,
    { from, to, address, port, preface }: { from: Party; to: Peer; address: number; port: number; preface: Uint8Array },
    outside: Outside,
  ): string | undefined {
    const id = this.#newId();
    const client = parseAddress(from.sender.address)!;
    const error = this.#dataPort.connect(caller, id, client, address, port, preface);
    if (error !== 0) return getSystemErrorName(-error);
    this.#open.set(id, { from, to, probed: new Map(), outside });
    return undefined;
  }

  /** Gives both members a token for one connection, or answers why not. */
  request(from: Peer, id: number, to: Recipient, message: PeerMessage) {
    const refuse = (reason: string) => void from.channel.send({ type: 'relayReply', id, reason });
    if (message.type === 'relay' && message.purpose.for === 'ingress')
      return refuse('only the seed has clients from outside');
    const peer = this.#options.members.find(from, to);
    if (typeof peer === 'string') return refuse(peer);
    const waiting = this.#expected.get(from) ?? 0;
    if (waiting >= MOST_EXPECTED) return refuse(`${waiting} relayed connections of yours are not made yet`);
    const [ours, theirs] = [randomBytes(TOKEN_BYTES), randomBytes(TOKEN_BYTES)];
    const pair = this.#newId();
    if (!this.#dataPort.expect(ours, theirs, pair)) return refuse('the relay is full');
    const token = theirs.toString('base64');
    this.#open.set(pair, { from, to: peer, token, probed: new Map() });
    this.#count(from, 1);
    const reason = peer.inbox.pass(from, { type: 'relayed', from: from.sender, token, message });
    if (reason === undefined) return void from.channel.send({ type: 'relayReply', id, token: ours.toString('base64') });
    this.#dataPort.withdraw(pair);
    refuse(reason);
  }

  /** The member will not come with this token: the other side does not wait for it. */
  refused(token: string, reason: string): void {
    for (const [id, between] of this.#open) {
      if (between.token === token && this.#dataPort.withdraw(id)) between.refused = reason;
    }
  }

  /** What was sent to that host over its relayed connections, by a name for each of them that lasts. */
  *sentTo(host: string): Iterable<Sent> {
    for (const [id, { from, to }] of this.#open) {
      if (from.name !== host && to.name !== host) continue;
      const sides = this.#dataPort.sent(id);
      if (!sides) continue;
      const [bytesFrom, waitsFrom, bytesTo, waitsTo] = sides;
      if (from.name === host)
        yield { key: `relayed ${id}`, by: to.name, epoch: from.sender.epoch, bytes: bytesFrom, waits: waitsFrom > 0 };
      else yield { key: `relayed ${id}`, by: from.name, epoch: to.sender.epoch, bytes: bytesTo, waits: waitsTo > 0 };
    }
  }

  /** The member has joined again: what was between it and the seed is between it and the relay, too. */
  rejoined({ name, sender }: Peer): void {
    this.#probe((peer) => peer.name === name && peer.sender.epoch === sender.epoch);
  }

  /** Something that `one` has sent to the other member is not acknowledged. */
  doubt(one: Peer, other: Peer): void {
    const allowance = this.#doubts.get(one) ?? new Allowance(DOUBTS.burst, DOUBTS.rate);
    this.#doubts.set(one, allowance);
    if (!allowance.take()) return;
    const names = [one.name, other.name];
    this.#probe((peer, opposite) => names.includes(peer.name) && names.includes(opposite.name));
  }

  /** The host is suspended: its silence says nothing. */
  sleeps(host: string): void {
    for (const [id, between] of this.#open) {
      for (const side of SIDES) if (peerAt(between, side).name === host) this.#probeNoLonger(id, between, side);
    }
  }

  /** Epochs of the host before this one have ended, and with them their connections. */
  ended(host: string, oldest: number): void {
    this.#end(({ name, sender }) => name === host && sender.epoch > 0 && sender.epoch < oldest);
  }

  /** No client of that name is there any more. */
  clientGone(client: string): void {
    this.#end(({ name, sender }) => name === client && sender.epoch === 0);
  }

  close(): void {
    clearTimeout(this.#sweep);
    for (const [id, between] of this.#open) for (const side of SIDES) this.#probeNoLonger(id, between, side);
    this.#dataPort.close();
  }

  #newId(): number {
    this.#nextId = (this.#nextId + 1) >>> 0;
    return this.#nextId;
  }

  #probe(which: (peer: Party, opposite: Party) => boolean): void {
    for (const [id, between] of this.#open) {
      for (const side of SIDES) {
        if (!which(peerAt(between, side), peerAt(between, opposite(side)))) continue;
        if (!between.probed.has(side) && !this.#dataPort.probe(id, side, true)) continue;
        clearTimeout(between.probed.get(side));
        between.probed.set(
          side,
          setTimeout(() => this.#probeNoLonger(id, between, side), PROBED),
        );
      }
    }
  }

  #probeNoLonger(id: number, { probed }: Between, side: Side): void {
    const timer = probed.get(side);
    if (timer === undefined) return;
    clearTimeout(timer);
    probed.delete(side);
    this.#dataPort.probe(id, side, false);
  }

  #end(which: (peer: Party) => boolean): void {
    for (const [id, between] of this.#open) {
      const ended = SIDES.find((side) => which(peerAt(between, side)));
      if (ended === undefined || between.ending) continue;
      // Who waits for it learns of that now.
      if (this.#dataPort.withdraw(id)) continue;
      between.ending = { ended, bytes: -1 };
      this.#sweep ??= setTimeout(this.#breakOff, SWEEP);
    }
  }

  /** A side that has ended is not waited for. What it has sent before may be on its way to the other one. */
  readonly #breakOff = (): void => {
    this.#sweep = undefined;
    for (const [id, { ending }] of this.#open) {
      if (!ending) continue;
      this.#sweep ??= setTimeout(this.#breakOff, SWEEP);
      const sent = this.#dataPort.sent(id);
      if (!sent) continue;
      const [bytes, waits] = sent.slice(2 * opposite(ending.ended));
      if (waits === 0 && bytes === ending.bytes) this.#dataPort.breakOff(id);
      ending.bytes = bytes;
    }
  };

  #count(from: Party, more: 1 | -1): void {
    const now = (this.#expected.get(from) ?? 0) + more;
    if (now === 0) this.#expected.delete(from);
    else this.#expected.set(from, now);
  }

  #onEvent(event: DataPortEvent) {
    const { events, log, onCaller } = this.#options;
    if (event.type === 'rejected') {
      const { address, count, reason } = event;
      return log('warn', `${count} connections to the data port were reset, the last one from ${address}: ${reason}`);
    }
    if (isCallers(event)) return onCaller(event);
    const between = this.#open.get(event.id);
    if (!between) return;
    if (between.outside) return this.#onOutside(between, between.outside, event);
    const { from: requester } = between;
    const [from, to] = [requester.name, between.to.name];
    if (event.type !== 'ended') this.#count(requester, -1);
    if (event.type === 'paired') return events.emit(to, 'relay-started', { from }, from);
    for (const timer of between.probed.values()) clearTimeout(timer);
    this.#open.delete(event.id);
    if (event.type === 'unused') return events.emit(to, 'relay-unused', { from, arrived: event.arrived }, from);
    const [sent, received] = event.bytes;
    events.emit(to, 'relay-ended', { from, sent, received, ...(event.error && { error: event.error }) }, from);
  }

  #onOutside(
    between: Between,
    outside: Outside,
    event: Extract<DataPortEvent, { type: 'paired' | 'ended' | 'unused' }>,
  ) {
    if (event.type === 'paired') return outside.onPaired();
    for (const timer of between.probed.values()) clearTimeout(timer);
    this.#open.delete(event.id);
    if (event.type === 'unused' && between.refused !== undefined) return outside.onRefused(between.refused);
    if (event.type === 'unused') return outside.onUnused(event.error ?? 'it did not come');
    return outside.onEnded(event.bytes, event.error);
  }
}

const isCallers = (event: DataPortEvent): event is CallerEvent =>
  event.type !== 'paired' && event.type !== 'unused' && event.type !== 'ended' && event.type !== 'rejected';

const SIDES = [0, 1] as const;
const opposite = (side: Side): Side => (side === 0 ? 1 : 0);
/** The member that requested it has the first token. */
const peerAt = ({ from, to }: Between, side: Side): Party => (side === 0 ? from : to);
