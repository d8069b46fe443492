/** Connections through the seed, where punching cannot work: both sides connect to its relay and show what it gave them. */
import { parseAddress } from '../../../contract/manifest/address';
import type { Endpoint, MemberMessage, Purpose, Recipient, Sender } from '../../../contract/peer/peer-messages';
import { type Connector, OpeningError } from '../connector';
import type { HandedPurpose } from '../punched/respond';
import type { GuestConnect, Transport, TransportResult } from '../transport';

export interface RelayedOptions {
  readonly connector: Connector;
  /** Asks the seed for a relayed connection: our token for it (base64). @throws Error with the seed's reason */
  readonly relay: (to: Recipient, message: MemberMessage) => Promise<string>;
  readonly dataPort: () => Endpoint;
  /** A port for a guest that has bound none. */
  readonly guestPort: () => number;
  /** A connection that another member wants for datagrams. */
  readonly onHanded: (from: Sender, purpose: HandedPurpose, descriptor: number) => void;
  readonly signal: AbortSignal;
}

/** A host as it runs now. */
interface Peer {
  readonly host: string;
  readonly address: number;
  readonly epoch: number;
}

export interface Relayed extends Transport {
  readonly name: 'relayed';
  /** Another member has asked for a relayed connection to this one. @throws Error when this member cannot make one */
  relayed(from: Sender, token: string, message: MemberMessage): Promise<void>;
  /** A connection for the supervisor itself: its descriptor. @throws Error with the reason */
  hand(to: Peer, purpose: Purpose, reason: string): Promise<number>;
}

/** First bytes to the relay; its token follows. */
const RELAY = Buffer.from('IMR1');
/** What the relay says when both are there. */
const JOINED = Uint8Array.of(1);
/** Milliseconds in which both have to be there. */
const RELAY_LIMIT = 5_000;

export function createRelayed(options: RelayedOptions): Relayed {
  const { connector } = options;

  const toRelay = (token: string) => {
    const { address, port } = options.dataPort();
    const send = Buffer.concat([RELAY, Buffer.from(token, 'base64')]);
    return { remote: parseAddress(address)!, remotePort: port, timeout: RELAY_LIMIT, send, expect: JOINED } as const;
  };

  const connect = async (guest: GuestConnect, reason: string): Promise<TransportResult> => {
    const { address: peer, port, replyTo, signal } = guest;
    const { host, epoch } = guest.location;
    const sourcePort = guest.sourcePort || options.guestPort();
    const purpose: Purpose = { for: 'connection', port, sourcePort };
    try {
      const token = await options.relay(host, { type: 'relay', purpose, reason });
      await connector.open({ purpose: 'give', peer, epoch, replyTo, sourcePort, ...toRelay(token) }, signal);
      return { by: 'relayed' };
    } catch (error) {
      return { by: 'none', reason: (error as Error).message };
    }
  };

  return {
    name: 'relayed',
    connect,
    hand: async ({ host, address: peer, epoch }, purpose, reason) => {
      const token = await options.relay(host, { type: 'relay', purpose, reason });
      return connector.open({ purpose: 'hand', peer, epoch, ...toRelay(token) }, options.signal);
    },
    relayed: async (from, token, message) => {
      if (message.type !== 'relay') return;
      const { purpose } = message;
      const open = async () => {
        const base = { peer: parseAddress(from.address)!, epoch: from.epoch, ...toRelay(token) };
        if (purpose.for === 'connection') {
          const { port, sourcePort } = purpose;
          await connector.open({ purpose: 'deliver', port, sourcePort, ...base }, options.signal);
        } else if (purpose.for === 'datagrams') {
          options.onHanded(from, purpose, await connector.open({ purpose: 'hand', ...base }, options.signal));
        }
      };
      // Who waits at the other end learns of a failure from the relay.
      return open().catch((error: Error) => {
        if (!(error instanceof OpeningError)) throw error;
      });
    },
  };
}
