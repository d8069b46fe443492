/**
 * Peer links: one TLS connection between two supervisors, by a key that both have from the seed. It carries their
 * messages, which need not go through the seed then, and their guests' datagrams, also where UDP is blocked. A message
 * on it is from the member that the seed vouched for when the link was made. A datagram that does not fit into it is
 * lost, as datagrams may be.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { formatAddress, parseAddress } from '../../../contract/manifest/address';
import { type Datagram, decodeDatagram, encodeDatagram } from '../../../contract/peer/datagram';
import type { NatReport, PeerMessage, Sender } from '../../../contract/peer/peer-messages';
import { checkMessage } from '../../../contract/peer/peer-messages';
import { Channel } from '../../control/channel';
import type { Guard } from '../../control/guard';
import type { PeerMember } from '../peer-member';
import { MemberConnections } from './member-connections';
import { handshake } from './tls';

/** A host as it runs now. Without a NAT report it can be relayed to only. */
export type LinkPeer = Omit<PeerMember, 'nat'> & { readonly nat?: NatReport };

export interface PeerLinksOptions {
  readonly guard: Guard;
  /** The host with this virtual address; undefined: it is not known to run. */
  readonly locate: (address: number) => LinkPeer | undefined;
  /** A punched connection for a link with this key: its descriptor. @throws Error with the reason */
  readonly punch: (peer: PeerMember, key: string) => Promise<number>;
  /** The same through the seed. @param reason why it is not punched */
  readonly relay: (peer: LinkPeer, key: string, reason: string) => Promise<number>;
  readonly onMessage: (from: Sender, message: PeerMessage, reply: (message: PeerMessage) => void) => void;
  /** From the host with that virtual address. */
  readonly onDatagram: (address: number, datagram: Datagram) => void;
  /** Datagrams to that host are lost, as there can be no link. */
  readonly onFailure: (address: number, reason: string) => void;
  /** Milliseconds in which the other side of a connection must prove itself. Default 5,000. */
  readonly proofLimit?: number;
}

/** How the connection below a link was made. */
export type LinkTransport = 'punched' | 'relayed';

/** Being made while it has no channel. */
interface Link {
  readonly address: number;
  /** The other side, as its messages are from it. */
  readonly from: Sender;
  by: LinkTransport;
  /** It is wanted for messages. Otherwise it ends when no datagram has come or gone for a while. */
  wanted: boolean;
  ended: boolean;
  channel?: Channel<PeerMessage>;
  /** Datagrams that wait for the channel. */
  readonly waiting: Buffer[];
  waitingBytes: number;
  idle?: NodeJS.Timeout;
}

/** Per host: about as much as Linux keeps for an unresolved neighbour. */
const MOST_WAITING = 256;
const MOST_BYTES = 512 * 1024;
/** More than the largest datagram and the longest message have. */
const MOST_FRAME = 128 * 1024;
/** Quiet connections are kept alive well within the time-outs of NATs. */
const HEARTBEAT = 20_000;
/** A link for datagrams only ends after so many milliseconds without one. */
const IDLE = 120_000;
/** After a failure no link is tried for datagrams for so long. */
const RETRY_AFTER = 1_000;

export class PeerLinks {
  /** By virtual address. */
  readonly #links = new Map<number, Link>();
  /** Until when no link is made for datagrams. */
  readonly #failed = new Map<number, number>();
  readonly #connections: MemberConnections;

  constructor(private readonly options: PeerLinksOptions) {
    this.#connections = new MemberConnections(options.proofLimit);
  }

  /** False: there is no link to this epoch of that host; it may be on its way. */
  sendMessage({ address, epoch }: Pick<PeerMember, 'address' | 'epoch'>, message: PeerMessage): boolean {
    const link = this.#links.get(address);
    return link?.from.epoch === epoch && link.channel?.send(message) === true;
  }

  /** Makes a link, punched or else relayed, unless there is one. */
  sendDatagram(address: number, datagram: Datagram): void {
    const link = this.#links.get(address) ?? this.#openForDatagrams(address);
    if (!link) return;
    const bytes = encodeDatagram(datagram);
    link.idle?.refresh();
    if (link.channel) link.channel.offer(bytes);
    else if (link.waiting.length < MOST_WAITING && link.waitingBytes + bytes.length <= MOST_BYTES) {
      link.waiting.push(bytes);
      link.waitingBytes += bytes.length;
    }
  }

  /**
   * Makes a punched link for messages, unless there is one. Relaying messages would gain nothing: the seed passes them
   * on.
   */
  open(peer: PeerMember): void {
    const link = this.#links.get(peer.address);
    if (link?.from.epoch === peer.epoch && !(link.by === 'relayed' && link.channel)) {
      link.wanted = true;
      return;
    }
    this.drop(peer.address);
    this.#make({ ...linkTo(peer), wanted: true }, peer);
  }

  /** The other side of a link that another member makes, with the connection for it. */
  accept(from: Sender, key: string, descriptor: number, by: LinkTransport): void {
    const link = { ...linkFrom(from), by };
    const raw = this.#connections.take(link.address, descriptor);
    const begin = async () => {
      const socket = await handshake(raw, Buffer.from(key, 'base64'), 'server').catch(() => undefined);
      if (socket) this.#serve(link, socket, raw);
      else raw.destroy();
    };
    this.options.guard('a peer link', begin, () => raw.destroy());
  }

  /** Ends the link after the frames that wait. */
  drop(address: number): void {
    this.#failed.delete(address);
    const link = this.#links.get(address);
    if (link) this.#end(link);
  }

  clear(): void {
    for (const address of [...this.#links.keys()]) this.drop(address);
    this.#connections.clear();
  }

  #end(link: Link): void {
    if (this.#links.get(link.address) === link) this.#links.delete(link.address);
    link.ended = true;
    void link.channel?.end();
  }

  #openForDatagrams(address: number): Link | undefined {
    if ((this.#failed.get(address) ?? 0) > performance.now()) return undefined;
    const peer = this.options.locate(address);
    if (peer) return this.#make(linkTo(peer), peer);
    this.#fail(address, 'it is not known to run');
    return undefined;
  }

  #fail(address: number, reason: string): void {
    this.#failed.set(address, performance.now() + RETRY_AFTER);
    this.options.onFailure(address, reason);
  }

  #make(link: Link, peer: LinkPeer): Link {
    const { address } = link;
    this.#links.set(address, link);
    this.#connect(link, peer).catch((error: Error) => {
      if (this.#links.get(address) !== link) return;
      this.#links.delete(address);
      if (link.waiting.length > 0) this.#fail(address, error.message);
    });
    return link;
  }

  async #connect(link: Link, peer: LinkPeer): Promise<void> {
    const key = randomBytes(32);
    const raw = this.#connections.take(link.address, await this.#dial(link, peer, key.toString('base64')));
    if (link.ended) return void raw.destroy();
    const socket = await handshake(raw, key, 'client');
    if (link.ended) return void socket.destroy();
    link.idle = setTimeout(() => {
      if (!link.wanted || link.by === 'relayed') this.#end(link);
    }, IDLE).unref();
    this.options.guard(
      'a peer link',
      () => this.#serve(link, socket, raw),
      () => raw.destroy(),
    );
  }

  async #dial(link: Link, { nat, ...peer }: LinkPeer, key: string): Promise<number> {
    let reason = 'it does not say where it can be met';
    try {
      if (nat) return await this.options.punch({ ...peer, nat }, key);
    } catch (error) {
      // Messages alone are no reason to relay.
      if (link.waiting.length === 0) throw error;
      reason = (error as Error).message;
    }
    link.by = 'relayed';
    return this.options.relay(peer, key, `punched: ${reason}`);
  }

  #serve(link: Link, socket: TLSSocket, raw: Socket) {
    const { guard, onMessage, onDatagram } = this.options;
    const { address, from } = link;
    this.#connections.proved(raw);
    socket.setNoDelay(true);
    const channel = new Channel<PeerMessage>(socket, {
      heartbeat: HEARTBEAT,
      maxFrame: MOST_FRAME,
      onFrame: (frame) => {
        const message = checkMessage(frame);
        if (!message) return channel.destroy();
        const handle = () => onMessage(from, message, (answer) => void channel.send(answer));
        guard('a message over a peer link', handle, channel.destroy);
      },
      onBytes: (bytes) => {
        link.idle?.refresh();
        guard("another member's datagram", () => onDatagram(address, decodeDatagram(bytes)), channel.destroy);
      },
      onClose: () => {
        clearTimeout(link.idle);
        if (this.#links.get(address) === link) this.#links.delete(address);
      },
    });
    link.channel = channel;
    // Two members that open their link at the same moment serve both; the last one is used. A client has no epoch.
    const before = this.#links.get(address);
    if (from.epoch > 0 && before && before.from.epoch > from.epoch) return this.#end(link);
    this.#links.set(address, link);
    for (const datagram of [link, before].flatMap((each) => each?.waiting.splice(0) ?? [])) channel.offer(datagram);
  }
}

function linkFrom(from: Sender): Link {
  const address = parseAddress(from.address)!;
  return { address, from, by: 'punched', wanted: false, ended: false, waiting: [], waitingBytes: 0 };
}

function linkTo({ host, address, epoch, nat }: LinkPeer): Link {
  const addresses = nat ? [nat.reflexiveAddress, nat.localAddress] : [];
  return linkFrom({ member: 0, name: host, address: formatAddress(address), epoch, addresses });
}
