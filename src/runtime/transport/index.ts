/**
 * How this member's guests are connected to other hosts, and others' guests to this one: the three transports,
 * together.
 */
import { setMaxListeners } from 'node:events';
import type { Location } from '../../contract/control/location';
import { formatAddress, parseAddress } from '../../contract/manifest/address';
import type { Datagram } from '../../contract/peer/datagram';
import type { NatReport, Observation, PeerMessage, Recipient, Sender } from '../../contract/peer/peer-messages';
import type { NativeAddon } from '../../native/addon';
import type { Guard } from '../control/guard';
import { Connector } from './connector';
import { createDirect } from './direct/direct';
import { Incoming, type OnEvent } from './incoming';
import { OwnNat } from './own-nat';
import { type LinkTransport, PeerLinks } from './peer-link/peer-link';
import { type PeerMember, peerMemberOf } from './peer-member';
import { Pools } from './pool/pool';
import { Regulars } from './pool/regulars';
import { portSequence } from './punched/ports';
import { Puncher } from './punched/punch';
import { PunchPorts } from './punched/punch-ports';
import { Punched } from './punched/punched';
import { Signalling } from './punched/signalling';
import { Relayed } from './relayed/relayed';
import { connectBy, type GuestConnect, type Transport, type TransportResult } from './transport';

export type { GuestConnect, TransportResult } from './transport';

/** What of a session with the seed the transports use. */
export interface SeedLink {
  sendPeerMessage(to: Recipient, message: PeerMessage): boolean;
  relay(to: Recipient, message: PeerMessage): Promise<string>;
  /** This member will not come with that token. */
  refuseRelayed(token: string, reason: string): void;
  reportNat(report: NatReport): void;
  /** The seed is to connect to that port of this member, with that secret. */
  knock(port: number, secret: string): void;
}

export interface TransportsOptions {
  readonly native: Pick<NativeAddon, 'openConnector'>;
  /** The first address of the loopback aliases. */
  readonly aliasBase: number;
  /** Network `flat`: its number. */
  readonly flat: number | undefined;
  /** Everybody may reach this member, whatever is between: that is looked at. */
  readonly mayBeOpen: boolean;
  /** A host that is known to run, by its virtual address. */
  readonly locationAt: (address: number) => Location | undefined;
  /** A guest has taken the connection that was made ready for it (`expect`). */
  readonly onExpected: (address: number) => void;
  /** From the host with that virtual address. */
  readonly onDatagram: (address: number, datagram: Datagram) => void;
  /** What operators should know of how connections are carried. */
  readonly onEvent: OnEvent;
  /** Connections that are kept ready, at most. */
  readonly poolMost: number;
  /** Around all that others cause. */
  readonly guard: Guard;
}

export function openTransports(options: TransportsOptions): Transports {
  return new Transports(options);
}

/** For a guest that has bound no port: above what Linux uses by itself. */
const GUEST_PORTS = [61_000, 4_500] as const;

export class Transports {
  readonly connector: Connector;
  readonly #closing = new AbortController();
  readonly #ownNat = new OwnNat();
  readonly #puncher: Puncher;
  readonly #punched: Punched;
  readonly #relayed: Relayed;
  readonly #signalling: Signalling;
  readonly #pools: Pools;
  readonly #regulars = new Regulars((peer) => this.#keepReady(peer));
  /** Peers that guests here have not connected to yet, by virtual address: one connection is ready, or being made. */
  readonly #expected = new Map<number, PeerMember>();
  readonly #links: PeerLinks;
  readonly #incoming: Incoming;
  /** In order of preference. */
  readonly #transports: readonly Transport[];
  #seed: SeedLink | undefined;
  #connecting = 0;

  constructor(private readonly options: TransportsOptions) {
    const { guard, onEvent, onDatagram } = options;
    const { signal } = this.#closing;
    // Every connection that is being made listens to it.
    setMaxListeners(0, signal);
    const { dataPort, report: natReport, now: natNow } = this.#ownNat;
    const connector = this.#openConnector();
    const guestPort = portSequence(GUEST_PORTS);
    const punchPorts = new PunchPorts(dataPort);
    const accept = (by: LinkTransport) => (from: Sender, key: string, descriptor: number) =>
      this.#links.accept(from, key, descriptor, by);

    this.connector = connector;
    this.#puncher = new Puncher({
      punchPorts,
      natReport,
      natNow,
      send: (to, message) => {
        if (!this.#links.sendMessage(to, message)) this.#seed?.sendPeerMessage(to.host, message);
      },
    });
    this.#punched = new Punched({ connector, puncher: this.#puncher, guestPort, signal });
    this.#signalling = new Signalling({ punched: this.#punched, connector, natReport, signal });
    this.#pools = new Pools({
      fill: (peer, count, low) => this.#fill(peer, count, low),
      ready: (address) => connector.ready(address),
      most: options.poolMost,
    });
    this.#relayed = new Relayed({
      connector,
      relay: (to, message) =>
        this.#seed?.relay(to, message) ?? Promise.reject(new Error('there is no connection to the seed')),
      dataPort,
      guestPort,
      toSupervisor: accept('relayed'),
      signal,
    });
    this.#links = new PeerLinks({
      guard,
      locate: (address) => {
        const location = options.locationAt(address);
        return location && { ...location, address };
      },
      punch: (peer, key) => this.#punched.toSupervisor(peer, { for: 'peer-link', key }),
      relay: (peer, key, reason) => this.#relayed.toSupervisor(peer, { for: 'peer-link', key }, reason),
      onMessage: (from, message, reply) => this.#incoming.message(from, message, reply),
      onDatagram,
      onFailure: (address, reason) =>
        onEvent('datagrams-lost', { to: formatAddress(address), protocol: 'udp', reason }),
    });
    this.#incoming = new Incoming({
      guard,
      ownNat: this.#ownNat,
      puncher: this.#puncher,
      respond: { connector, punchPorts, natReport, toSupervisor: accept('punched'), signal },
      relayed: this.#relayed,
      addressesOf: (member) => this.#addressesOf(member),
      onRefused: (token, reason) => this.#seed?.refuseRelayed(token, reason),
      onStaleLink: ({ address }) => this.#links.drop(parseAddress(address)!),
      onEvent,
    });
    this.#transports = [createDirect(options.flat), this.#punched, this.#relayed];
  }

  /** Guests here that wait for a connection, and connections that wait for a guest here. */
  get pending(): number {
    return this.#connecting + this.connector.arriving();
  }

  readonly connect = async (guest: GuestConnect): Promise<TransportResult> => {
    this.#connecting += 1;
    try {
      const result = await connectBy(this.#transports, guest);
      this.#expected.delete(guest.address);
      if (result.by === 'punched') this.#regulars.connected(peerMemberOf(guest)!);
      return result;
    } finally {
      this.#connecting -= 1;
    }
  };

  /** A guest is likely to connect to that host: one connection to it is made ready. */
  expect(to: Pick<GuestConnect, 'location' | 'address'>): void {
    const peer = peerMemberOf(to);
    if (!peer || this.options.poolMost === 0) return;
    this.#expected.set(peer.address, peer);
    this.options.guard('a connection that is made ahead', () => this.#punched.fill(peer, 1, 0));
  }

  /** Carries a datagram to the host with this virtual address, if it is known to run; or loses it. */
  sendDatagram(address: number, datagram: Datagram): void {
    this.#links.sendDatagram(address, datagram);
  }

  /** Joined (again): how the seed sees us, and which ports are ours. */
  joined(seed: SeedLink, seen: Observation): void {
    this.#seed = seed;
    const knock = (port: number, secret: string) => this.#seed?.knock(port, secret);
    this.#ownNat.join(seen, {
      signal: this.#closing.signal,
      onReport: (report) => this.#seed?.reportNat(report),
      ...(this.options.mayBeOpen && { knock }),
    });
  }

  /** No session for a while: nothing is kept ready. */
  left(): void {
    this.#seed = undefined;
    this.#expected.clear();
    this.#regulars.clear();
    this.#pools.clear();
    this.#links.clear();
    this.connector.drop(0);
  }

  /** From another member, by way of the seed. */
  peerMessage(from: Sender, message: PeerMessage): void {
    const reply = (answer: PeerMessage) => void this.#seed?.sendPeerMessage(from.member, answer);
    this.options.guard('a message of another member', () => this.#incoming.message(from, message, reply));
  }

  /** The seed could not deliver the message with this id. */
  undeliverable(id: number, reason: string): void {
    this.options.guard('a message that came back', () => this.#puncher.undeliverable(id, reason));
  }

  /** Another member wants a connection through the seed, which gave this token for it. */
  relayed(from: Sender, token: string, message: PeerMessage): void {
    this.options.guard('a connection through the seed', () => this.#incoming.relay(from, token, message));
  }

  /** Where a host is now, whether or not it is news. */
  located(location: Location): void {
    this.#puncher.located(location);
  }

  /** That host is not where it was: nothing is kept ready for it. */
  drop(address: number): void {
    this.#expected.delete(address);
    this.#regulars.drop(address);
    this.#pools.drop(address);
    this.#links.drop(address);
    this.connector.drop(address);
  }

  close(): void {
    this.#closing.abort();
    this.#regulars.clear();
    this.#links.clear();
    this.connector.close();
  }

  #openConnector(): Connector {
    const { native, aliasBase, guard, onEvent } = this.options;
    return new Connector({
      native: {
        openConnector: (aliases, onNative) =>
          native.openConnector(aliases, (...event) => guard('an event of the connector', () => onNative(...event))),
      },
      aliasBase,
      onUsed: (peer) => this.#onUsed(peer),
      onLost: (peer) => this.#pools.lost(peer),
      onSilent: (peer) => {
        this.#pools.drop(peer);
        this.#links.drop(peer);
        onEvent('peer-silent', { peer: formatAddress(peer) });
      },
      onSignallingEnded: (peer) => {
        // A peer that does not hear the one does not hear the other.
        if (this.#signalling.lost(peer)) this.#links.drop(peer);
      },
      onMissed: (peer) => {
        const member = this.#signalling.to(peer);
        if (member) this.#pools.missed(member);
      },
      onRefused: (_peer, port) => onEvent('not-listening', { port }),
    });
  }

  /** Few connections to that peer are left. The one that was made ahead is its first. */
  #onUsed(address: number): void {
    const expected = this.#expected.get(address);
    this.#expected.delete(address);
    if (!expected) {
      this.#pools.used(address);
      return;
    }
    this.options.onExpected(address);
    this.#regulars.connected(expected);
  }

  async #fill(peer: PeerMember, count: number, low: number): Promise<number> {
    const member = this.#asOfNow(peer);
    this.#signalling.open(member);
    return (await this.#signalling.fill(member, count, low)) ?? this.#punched.fill(member, count, low);
  }

  /** A host that has just been allocated did not know its NAT yet when it was connected to first. */
  #asOfNow(peer: PeerMember): PeerMember {
    const location = this.options.locationAt(peer.address);
    const member = location && peerMemberOf({ location, address: peer.address });
    return member?.epoch === peer.epoch ? member : peer;
  }

  #addressesOf(member: Sender): readonly string[] {
    const location = this.options.locationAt(parseAddress(member.address)!);
    if (!location?.nat || location.epoch !== member.epoch) return [];
    return [location.nat.reflexiveAddress, location.nat.localAddress];
  }

  /**
   * A host that was connected to once is likely to be connected to again: soon, and without a message through the seed.
   */
  #keepReady(peer: PeerMember): void {
    const member = this.#asOfNow(peer);
    this.#links.open(member);
    this.#signalling.open(member);
    this.#pools.missed(member);
  }
}
