import { randomBytes } from 'node:crypto';
import type { PeerMessage, Recipient } from '../../../contract/peer/peer-messages';
import type { DataPort, DataPortEvent, NativeAddon } from '../../../native/addon';
import type { Log } from '../../control/session';
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
}

const TOKEN_BYTES = 32;
/**
 * Connections that one member may have requested and neither side, or one only, has come for: as many as a function has
 * descriptors.
 */
const MOST_EXPECTED = 1_024;

/**
 * Connections through the seed: which members may have one. The bytes never come here: see src/native/relay/relay.h.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #dataPort: DataPort;
  /** Relayed connections that stand or are expected, by id. */
  readonly #open = new Map<number, { readonly from: Peer; readonly to: Peer }>();
  /** How many are expected, by the member that requested them. */
  readonly #expected = new Map<Peer, number>();
  #nextId = 0;

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

  /** Gives both members a token for one connection, or answers why not. */
  request(from: Peer, id: number, to: Recipient, message: PeerMessage) {
    const refuse = (reason: string) => void from.channel.send({ type: 'relayReply', id, reason });
    const peer = this.#options.members.find(from, to);
    if (typeof peer === 'string') return refuse(peer);
    const waiting = this.#expected.get(from) ?? 0;
    if (waiting >= MOST_EXPECTED) return refuse(`${waiting} relayed connections of yours are not made yet`);
    const [ours, theirs] = [randomBytes(TOKEN_BYTES), randomBytes(TOKEN_BYTES)];
    this.#nextId = (this.#nextId + 1) >>> 0;
    if (!this.#dataPort.expect(ours, theirs, this.#nextId)) return refuse('the relay is full');
    this.#open.set(this.#nextId, { from, to: peer });
    this.#count(from, 1);
    const token = theirs.toString('base64');
    const reason = peer.inbox.pass(from, { type: 'relayed', from: from.sender, token, message });
    if (reason !== undefined) return refuse(reason);
    from.channel.send({ type: 'relayReply', id, token: ours.toString('base64') });
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

  close(): void {
    this.#dataPort.close();
  }

  #count(from: Peer, more: 1 | -1): void {
    const now = (this.#expected.get(from) ?? 0) + more;
    if (now === 0) this.#expected.delete(from);
    else this.#expected.set(from, now);
  }

  #onEvent(event: DataPortEvent) {
    const { events, log } = this.#options;
    if (event.type === 'rejected') {
      const { address, count, reason } = event;
      return log('warn', `${count} connections to the data port were reset, the last one from ${address}: ${reason}`);
    }
    const between = this.#open.get(event.id);
    if (!between) return;
    const { from: requester } = between;
    const [from, to] = [requester.name, between.to.name];
    if (event.type !== 'ended') this.#count(requester, -1);
    if (event.type === 'paired') return events.emit(to, 'relay-started', { from }, from);
    this.#open.delete(event.id);
    if (event.type === 'unused') return events.emit(to, 'relay-unused', { from, arrived: event.arrived }, from);
    const [sent, received] = event.bytes;
    events.emit(to, 'relay-ended', { from, sent, received, ...(event.error && { error: event.error }) }, from);
  }
}
