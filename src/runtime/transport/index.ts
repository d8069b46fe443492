/** How this member's guests are connected to other hosts, and others' guests to this one: the three transports, together. */
import { setMaxListeners } from 'node:events';
import type { Location } from '../../contract/control/location';
import type { ReportedEvent } from '../../contract/control/to-seed';
import { formatAddress } from '../../contract/manifest/address';
import type {
  Endpoint,
  MemberMessage,
  NatReport,
  Observation,
  Purpose,
  Recipient,
  Sender,
} from '../../contract/peer/peer-messages';
import type { NativeAddon } from '../../native/addon';
import type { Guard } from '../control/guard';
import { type Connector, openConnector } from './connector';
import { createDirect } from './direct/direct';
import { classifyNat } from './nat/nat';
import { createLinks, type Datagram } from './peer-link/datagram-link';
import { createEdges } from './peer-link/edges';
import { createPools, POOL_TTL } from './pool/pool';
import { portSequence } from './punched/ports';
import { createPuncher, type Other, PunchError } from './punched/punch';
import { createPunchPorts } from './punched/punch-ports';
import { createPunched, otherOf } from './punched/punched';
import { createRequests } from './punched/requests';
import { type HandedPurpose, respond, SHARE_USED } from './punched/respond';
import { createSignalling } from './punched/signalling';
import { createRelayed } from './relayed/relayed';
import { connectBy, type GuestConnect, type Transport, type TransportResult } from './transport';

export type { GuestConnect, TransportResult } from './transport';

/** What of a session with the seed the transports use. */
export interface SeedLink {
  sendPeerMessage(to: Recipient, message: MemberMessage): boolean;
  relay(to: Recipient, message: MemberMessage): Promise<string>;
  reportNat(reach: NatReport): void;
}

export interface Transports {
  readonly connector: Connector;
  /** Guests here that wait for a connection, and connections that wait for a guest here. */
  readonly pending: number;
  connect(guest: GuestConnect): Promise<TransportResult>;
  /** Carries a datagram to the host with this virtual address, if it is known to run; or loses it. */
  sendDatagram(address: number, datagram: Datagram): void;
  /** Joined (again): how the seed sees us, and which ports are ours. */
  joined(line: SeedLink, seen: Observation): void;
  /** No session for a while: nothing is kept ready. */
  left(): void;
  /** From another member, by way of the seed. */
  peerMessage(from: Sender, message: MemberMessage): void;
  undeliverable(id: number, reason: string): void;
  relayed(from: Sender, token: string, message: MemberMessage): void;
  /** That host is not where it was: nothing is kept ready for it. */
  drop(host: string, address: number): void;
  close(): void;
}

export interface TransportsOptions {
  readonly native: Pick<NativeAddon, 'openConnector'>;
  /** The first address of the loopback aliases. */
  readonly aliasBase: number;
  /** Network `flat`: its number. */
  readonly flat: number | undefined;
  /** A host that is known to run, by its virtual address. */
  readonly locationAt: (address: number) => Location | undefined;
  /** From the host with that virtual address. */
  readonly onDatagram: (address: number, datagram: Datagram) => void;
  /** What operators should know of how connections are carried. */
  readonly onEvent: (event: ReportedEvent, detail: Readonly<Record<string, string | number>>) => void;
  /** Connections that are kept ready, at most. */
  readonly poolMost: number;
  /** Around all that others cause. */
  readonly guard: Guard;
}

/** Members that are remembered. */
const MOST_WAYS = 1_000;

/** For a guest that has bound no port: above what Linux uses by itself. */
const GUEST_PORTS = [61_000, 4_500] as const;

export function openTransports(options: TransportsOptions): Transports {
  const { onEvent, guard } = options;
  const closing = new AbortController();
  const { signal } = closing;
  // Every connection that is being made listens to it.
  setMaxListeners(0, signal);
  let line: SeedLink | undefined;
  let dataPort: Endpoint | undefined;
  let finding: Promise<NatReport> | undefined;
  let connecting = 0;
  /** How each member's connections came last, so that only changes are told. */
  const ways = new Map<string, string>();

  const theDataPort = () => {
    // In network `flat` a member never joins the transports: whoever asks it for a connection by them gets none.
    if (!dataPort) throw new PunchError('this member carries no connections');
    return dataPort;
  };
  const natReport = () => finding ?? Promise.reject(new PunchError('this member carries no connections'));
  const tell = ({ host, epoch }: Other, message: MemberMessage) => {
    if (!edges.tell(host, epoch, message)) line?.sendPeerMessage(host, message);
  };
  const guestPort = portSequence(GUEST_PORTS);
  const connector = openConnector({
    native: {
      openConnector: (aliases, tell) =>
        options.native.openConnector(aliases, (...event) => guard('an event of the connector', () => tell(...event))),
    },
    aliasBase: options.aliasBase,
    onUsed: (peer) => pools.used(peer),
    onLost: (peer) => pools.lost(peer),
    onSilent: (peer) => {
      const other = pools.drop(peer);
      if (other) edges.drop(other.host);
      onEvent('peer-silent', { peer: formatAddress(peer) });
    },
    onSignallingEnded: (peer) => {
      const host = signalling.lost(peer);
      // Whoever does not hear the one does not hear the other.
      if (host !== undefined) edges.drop(host);
    },
    onMissed: (peer) => {
      const other = signalling.to(peer);
      if (other) pools.missed(other);
    },
    onRefused: (_peer, port) => onEvent('not-listening', { port }),
  });
  const punchPorts = createPunchPorts(theDataPort);
  const requests = createRequests();
  const puncher = createPuncher({ punchPorts: punchPorts, send: tell, natReport: natReport });
  const punched = createPunched({ connector, puncher, guestPort, ttl: POOL_TTL, signal });
  /** Where it was when it was connected to first, it may not have known itself. */
  const asOfNow = (peer: Other): Other => {
    const location = options.locationAt(peer.address);
    const other = location && otherOf({ location, address: peer.address });
    return other?.epoch === peer.epoch ? other : peer;
  };
  const signalling = createSignalling({ punched, connector, natReport: natReport, signal });
  const pools = createPools({
    fill: async (peer, count, low) => {
      const other = asOfNow(peer);
      signalling.open(other);
      return (await signalling.fill(other, count, low)) ?? punched.fill(other, count, low);
    },
    ready: connector.ready,
    most: options.poolMost,
  });
  const relayed = createRelayed({
    connector,
    relay: (to, message) =>
      line ? line.relay(to, message) : Promise.reject(new Error('there is no connection to the seed')),
    dataPort: theDataPort,
    guestPort,
    onHanded: (from, purpose, descriptor) => onHanded(from, purpose, descriptor),
    signal,
  });
  const links = createLinks({
    guard,
    dial: (address, purpose) => dial(address, purpose),
    onDatagram: options.onDatagram,
    onFailure: (address, reason) => onEvent('datagrams-lost', { to: formatAddress(address), protocol: 'udp', reason }),
  });
  const edges = createEdges({ guard, onMessage: (from, message, reply) => onMessage(from, message, reply) });
  const transports: readonly Transport[] = [createDirect(options.flat), punched, relayed];

  /** For datagrams: by the same ways, in the same order, as for guests' connections. */
  const dial = async (address: number, purpose: Purpose): Promise<number> => {
    const location = options.locationAt(address);
    if (!location) throw new Error('it is not known to run');
    const other = otherOf({ location, address });
    let reason = 'it does not say where it can be met';
    if (other) {
      try {
        return await punched.hand(other, purpose);
      } catch (error) {
        reason = (error as Error).message;
      }
    }
    return relayed.hand({ host: location.host, address, epoch: location.epoch }, purpose, `punched: ${reason}`);
  };
  const onHanded = (from: Sender, purpose: HandedPurpose, descriptor: number) => {
    if (purpose.for === 'edge') edges.accept(from, purpose.key, descriptor);
    else links.accept(from, purpose.key, descriptor);
  };

  const onMessage = (from: Sender, message: MemberMessage, reply: (message: MemberMessage) => void) => {
    if ('address' in message && !from.addresses.includes(message.address)) {
      const reason = `${message.address} is not an address of '${from.name}'; allowed: ${from.addresses.join(', ')}`;
      const answer = { type: 'unpunchable', id: message.id, reason } as const;
      if (message.type === 'punch') reply(answer);
      else puncher.answered(from.name, answer);
      // An edge that is older than what the seed knows by now: the next message goes by way of the seed.
      return edges.drop(from.name);
    }
    if (message.type !== 'punch') return puncher.answered(from.name, message);
    const end = requests.begin(from.name, message.from.length);
    if (!end) return reply({ type: 'unpunchable', id: message.id, reason: SHARE_USED, busy: true });
    const answer = async () => {
      try {
        if (message.purpose.for === 'connection') tellWay(from, 'punched');
        await respond(
          { connector, punchPorts: punchPorts, natReport: natReport, onHanded, signal },
          from,
          message,
          reply,
        );
      } catch (error) {
        if (!signal.aborted) reply({ type: 'unpunchable', id: message.id, reason: (error as Error).message });
      } finally {
        end();
      }
    };
    guard('a request of another member for a connection', answer);
  };

  /** An operator sees at the destination how its connections come: there is no other end that always has a log. */
  const tellWay = ({ name }: Sender, by: 'punched' | 'relayed', reason = '') => {
    const way = `${by} ${reason}`;
    if (ways.get(name) === way) return;
    ways.delete(name);
    ways.set(name, way);
    if (ways.size > MOST_WAYS) ways.delete(ways.keys().next().value!);
    onEvent('transport-chosen', { from: name, by, ...(reason ? { reason } : {}) });
  };

  /** Those that were connected once are likely to be connected again: soon, and without asking anybody. */
  const keepReady = (other: Other) => {
    const { host, address, epoch } = other;
    const { nat: reach } = asOfNow(other);
    const addresses = [reach.reflexiveAddress, reach.localAddress];
    edges.open({ name: host, address: formatAddress(address), epoch, member: 0, addresses }, (key) =>
      punched.hand(other, { for: 'edge', key }),
    );
    signalling.open(other);
    pools.missed(other);
  };

  return {
    connector,
    get pending() {
      return connecting + connector.arriving();
    },
    connect: async (guest) => {
      connecting += 1;
      try {
        const result = await connectBy(transports, guest);
        if (result.by === 'punched') keepReady(otherOf(guest)!);
        return result;
      } finally {
        connecting -= 1;
      }
    },
    sendDatagram: links.send,
    joined: (next, seen) => {
      line = next;
      dataPort = seen.dataPort;
      const found = classifyNat(seen, signal);
      finding = found;
      void found.then((mine) => {
        if (finding === found) line?.reportNat(mine);
      });
    },
    left: () => {
      line = undefined;
      pools.clear();
      edges.clear();
      links.clear();
      connector.drop(0);
    },
    peerMessage: (from, message) =>
      guard('a message of another member', () =>
        onMessage(from, message, (answer) => void line?.sendPeerMessage(from.member, answer)),
      ),
    undeliverable: (id, reason) => guard('a message that came back', () => puncher.undeliverable(id, reason)),
    relayed: (from, token, message) =>
      guard('a connection through the seed', async () => {
        if (message.type !== 'relay') return;
        if (!dataPort)
          return onEvent('relay-failed', { from: from.name, reason: 'this member carries no connections' });
        const end = requests.begin(from.name, 1);
        if (!end) return onEvent('relay-failed', { from: from.name, reason: SHARE_USED });
        try {
          tellWay(from, 'relayed', message.reason);
          await relayed.relayed(from, token, message);
        } finally {
          end();
        }
      }),
    drop: (host, address) => {
      pools.drop(address);
      edges.drop(host);
      links.drop(address);
      connector.drop(address);
    },
    close: () => {
      closing.abort();
      edges.clear();
      links.clear();
      connector.close();
    },
  };
}
