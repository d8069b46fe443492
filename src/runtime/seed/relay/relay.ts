import { randomBytes } from 'node:crypto';
import type { MemberMessage, Recipient } from '../../../contract/peer/peer-messages';
import type { DataPort, DataPortEvent, NativeAddon } from '../../../native/addon';
import type { Log } from '../../control/session';
import type { Peer } from '../machine/host';
import type { Members } from '../members/members';
import type { EventLog } from '../operators/events';

/** Connections through the seed: who may have one. The bytes never come here: see src/native/relay/relay.h. */
export interface Relay {
  readonly port: number;
  /** Gives both members a token for one connection, or says why not. */
  request(from: Peer, id: number, to: Recipient, message: MemberMessage): void;
  close(): void;
}

export interface RelayOptions {
  readonly native: NativeAddon;
  /** `address:port` */
  readonly listen: string;
  readonly members: Members;
  readonly events: EventLog;
  readonly log: Log;
}

const TOKEN_BYTES = 32;
/** Connections that one member may have asked for and neither side, or one only, has come for: as many as a function has descriptors. */
const MOST_EXPECTED = 1_024;

/** @throws the error of listen(2) */
export function openRelay({ native, listen, members, events, log }: RelayOptions): Relay {
  /** Relayed connections that stand or are expected, by id. */
  const open = new Map<number, { readonly from: Peer; readonly to: string }>();
  /** Those that are expected, by who asked. */
  const expected = new Map<Peer, number>();
  const count = (from: Peer, more: 1 | -1) => {
    const now = (expected.get(from) ?? 0) + more;
    if (now === 0) expected.delete(from);
    else expected.set(from, now);
  };
  let nextId = 0;

  const onEvent = (event: DataPortEvent) => {
    if (event.type === 'rejected') {
      const { address, count, reason } = event;
      return log('warn', `${count} connections to the data port were reset, the last one from ${address}: ${reason}`);
    }
    const between = open.get(event.id);
    if (!between) return;
    const { from: asker, to } = between;
    const from = asker.name;
    if (event.type !== 'ended') count(asker, -1);
    if (event.type === 'paired') return events.emit(to, 'relay-started', { from }, from);
    open.delete(event.id);
    if (event.type === 'unused') return events.emit(to, 'relay-unused', { from, arrived: event.arrived }, from);
    const [sent, received] = event.bytes;
    events.emit(to, 'relay-ended', { from, sent, received, ...(event.error && { error: event.error }) }, from);
  };

  const colon = listen.lastIndexOf(':');
  const port: DataPort = native.openDataPort(listen.slice(0, colon), Number(listen.slice(colon + 1)), onEvent);

  return {
    port: port.port,
    request: (from, id, to, message) => {
      const refuse = (reason: string) => void from.channel.send({ type: 'relayReply', id, reason });
      const peer = members.find(from, to);
      if (typeof peer === 'string') return refuse(peer);
      const waiting = expected.get(from) ?? 0;
      if (waiting >= MOST_EXPECTED) return refuse(`${waiting} relayed connections of yours are not made yet`);
      const [ours, theirs] = [randomBytes(TOKEN_BYTES), randomBytes(TOKEN_BYTES)];
      nextId = (nextId + 1) >>> 0;
      if (!port.expect(ours, theirs, nextId)) return refuse('the relay is full');
      open.set(nextId, { from, to: peer.name });
      count(from, 1);
      const token = theirs.toString('base64');
      const reason = peer.inbox.pass(from, { type: 'relayed', from: from.sender, token, message });
      if (reason !== undefined) return refuse(reason);
      from.channel.send({ type: 'relayReply', id, token: ours.toString('base64') });
    },
    close: () => port.close(),
  };
}
