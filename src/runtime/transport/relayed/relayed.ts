/**
 * Connections through the seed, where punching cannot work: both sides connect to its relay and show the tokens that it
 * gave them.
 */
import { parseAddress } from '../../../contract/manifest/address';
import type { Endpoint, PeerMessage, Purpose, Recipient, Sender } from '../../../contract/peer/peer-messages';
import { type Connector, OpeningError } from '../connector';
import type { GuestConnect, Transport, TransportResult } from '../transport';

export interface RelayedOptions {
  readonly connector: Connector;
  /** Asks the seed for a relayed connection: our token for it (base64). @throws Error with the seed's reason */
  readonly relay: (to: Recipient, message: PeerMessage) => Promise<string>;
  readonly dataPort: () => Endpoint;
  /** A port for a guest that has bound none. */
  readonly guestPort: () => number;
  /** A connection for the peer link with this key. */
  readonly toSupervisor: (from: Sender, key: string, descriptor: number) => void;
  readonly signal: AbortSignal;
}

/** A host as it runs now. */
interface Peer {
  readonly host: string;
  readonly address: number;
  readonly epoch: number;
}

/** First bytes to the relay; its token follows. */
const RELAY = Buffer.from('IMR1');
/** The relay's answer once both sides are there. */
const JOINED = Uint8Array.of(1);
/** Milliseconds in which both sides have to be there. */
const RELAY_LIMIT = 5_000;

export class Relayed implements Transport {
  readonly name = 'relayed';

  constructor(private readonly options: RelayedOptions) {}

  async connect(guest: GuestConnect, reason: string): Promise<TransportResult> {
    const { connector, guestPort, relay } = this.options;
    const { address: peer, port, replyTo, signal } = guest;
    const { host, epoch } = guest.location;
    const sourcePort = guest.sourcePort || guestPort();
    const purpose: Purpose = { for: 'connection', port, sourcePort };
    try {
      const token = await relay(host, { type: 'relay', purpose, reason });
      await connector.open({ purpose: 'give', peer, epoch, replyTo, sourcePort, ...this.#toRelay(token) }, signal);
      return { by: 'relayed' };
    } catch (error) {
      return { by: 'none', reason: (error as Error).message };
    }
  }

  /** A connection for the supervisor itself: its descriptor. @throws Error with the reason */
  async toSupervisor({ host, address: peer, epoch }: Peer, purpose: Purpose, reason: string): Promise<number> {
    const { connector, relay, signal } = this.options;
    const token = await relay(host, { type: 'relay', purpose, reason });
    return connector.open({ purpose: 'hand', peer, epoch, ...this.#toRelay(token) }, signal);
  }

  /**
   * The other side of a relayed connection.
   * @returns why there is none; undefined: it stands
   * @throws Error when this member cannot make one
   */
  async relayed(from: Sender, token: string, purpose: Purpose): Promise<string | undefined> {
    const { connector, toSupervisor, signal } = this.options;
    const base = { peer: parseAddress(from.address)!, epoch: from.epoch, ...this.#toRelay(token) };
    try {
      switch (purpose.for) {
        case 'connection':
        case 'ingress': {
          const { port, sourcePort } = purpose;
          const outside = purpose.for === 'ingress';
          await connector.open({ purpose: 'deliver', outside, port, sourcePort, ...base }, signal);
          return undefined;
        }
        case 'peer-link':
          toSupervisor(from, purpose.key, await connector.open({ purpose: 'hand', ...base }, signal));
          return undefined;
        case 'pool':
        case 'signalling':
          return 'these are punched, or there are none';
        default:
          return purpose satisfies never;
      }
    } catch (error) {
      if (error instanceof OpeningError) return error.message;
      throw error;
    }
  }

  #toRelay(token: string) {
    const { address, port } = this.options.dataPort();
    const send = Buffer.concat([RELAY, Buffer.from(token, 'base64')]);
    return { remote: parseAddress(address)!, remotePort: port, timeout: RELAY_LIMIT, send, expect: JOINED } as const;
  }
}
