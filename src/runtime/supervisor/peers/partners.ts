/**
 * The members that this one has connections with: which of them are watched, and what becomes of the connections when an
 * epoch ends, a client goes, a host sleeps, or nothing gets through.
 */
import type { Location } from '../../../contract/control/location';
import { parseAddress } from '../../../contract/manifest/address';
import type { PeerMessage, Sender } from '../../../contract/peer/peer-messages';
import type { NativeAddon } from '../../../native/addon';
import type { Session } from '../../control/index';
import type { PeerConnections } from './peer-connections';
import { Silence } from './silence';
import { type PeerId, Survival } from './survival';
import { WaitingData } from './waiting-data';

export type PartnersSession = Pick<Session, 'watch' | 'data' | 'observation' | 'reconnect' | 'sendPeerMessage'>;

export interface PartnersOptions {
  readonly connections: PeerConnections;
  readonly native: NativeAddon;
  /** On network `flat` the kernel itself is between the members: there is no silence. */
  readonly isFlat: boolean;
  /** The name of the host with that virtual address. */
  readonly hostAt: (address: number) => string | undefined;
  /** Undefined while there is none. */
  readonly session: () => PartnersSession | undefined;
}

/**
 * Milliseconds after a join in which the connections that there are can wait: a host was resumed because somebody waits
 * for another one, and to look at them takes a while.
 */
const AFTER_JOIN = 10;
/**
 * Milliseconds after a join at which the connections are looked at once more. One that was being made during the join was
 * not there at the first look, and what was watched for it before was forgotten. Punching and the relay have 7 s.
 */
const LATE = 12_000;

/** Clients that have connected to this member, of which it is known what they are called. */
const MOST_CLIENTS = 4_096;

export class Partners {
  readonly #options: PartnersOptions;
  /** The epochs of other hosts whose end the seed will send. */
  readonly #watched = new Map<string, number>();
  /** By virtual address: the first epoch that there may be connections with. */
  readonly #first = new Map<number, number>();
  /** Hosts that run, as was last heard in this session. */
  readonly #up = new Set<number>();
  /** By virtual address: what the seed calls the client. */
  readonly #clients = new Map<number, string>();
  readonly #waitingData: WaitingData;
  readonly #survival: Survival;
  readonly #silence: Silence | undefined;
  /** The address that the seed saw last. */
  #observed: string | undefined;
  /** The last connection to the seed is given up because nothing got through. */
  #seedSilent = false;
  #joined: NodeJS.Timeout | undefined;
  #late: NodeJS.Timeout | undefined;
  #thawed = false;
  /** The other sides of all connections are to be asked. */
  #asks = false;

  constructor(options: PartnersOptions) {
    const { connections, native, isFlat, hostAt, session } = options;
    this.#options = options;
    this.#waitingData = new WaitingData({
      peers: connections,
      native,
      onData: (address, epoch) => {
        const host = hostAt(address);
        if (host !== undefined) session()?.data(host, epoch);
      },
      onLost: (cookie) => connections.lost([cookie]),
    });
    this.#survival = new Survival({ peers: connections, isUp: (address) => this.#up.has(address) });
    this.#silence = isFlat ? undefined : this.#listenForSilence();
  }

  /** The seed sees this member at that address. */
  observed(address: string | undefined): void {
    const before = this.#observed;
    this.#observed = address;
    const moved = before !== undefined && address !== before;
    // What was between this member and the seed is between it and the others, too.
    if (moved || this.#seedSilent) {
      this.#survival.thawed();
      this.#asks = true;
      this.#joined ??= setTimeout(this.#lookAtAll, AFTER_JOIN).unref();
    }
    this.#seedSilent = false;
  }

  /** The session has joined again: the seed may have missed what is watched, and this member what has changed. */
  refresh(): void {
    this.#watched.clear();
    this.#up.clear();
    this.#joined ??= setTimeout(this.#lookAtAll, AFTER_JOIN).unref();
    clearTimeout(this.#late);
    this.#late = setTimeout(this.#watchAll, LATE).unref();
  }

  located({ host, epoch, oldest = 0, state }: Location, address: number): void {
    const { connections } = this.#options;
    // Of an epoch that this member has never heard of, it has no connections, and to look for them takes a while.
    if (oldest > (this.#first.get(address) ?? oldest)) connections.ended(address, oldest);
    this.#hearsOf(address, epoch);
    this.#waitingData.sleeps(address, state === 'suspended');
    if (state === 'running') this.#up.add(address);
    else this.#up.delete(address);
    // Located, or sent because it is watched: the seed sends it until the epoch is over.
    if (state === 'running' || state === 'suspended') return void this.#watched.set(host, epoch);
    this.#watched.delete(host);
    const left = connections.open().get(address);
    // Whether that epoch has ended is not certain yet.
    if (left !== undefined && left >= oldest) this.#watch(host, left);
  }

  /** Another member has sent something: connections with it may follow. */
  meets({ name, address, epoch }: Sender): void {
    if (epoch === 0) this.#meetsClient(parseAddress(address)!, name);
    else this.#hearsOf(parseAddress(address)!, epoch);
    this.#watch(name, epoch);
  }

  /** A client that this member watches is in the cluster no more. */
  clientGone(client: string): void {
    this.#watched.delete(client);
    for (const [address, name] of this.#clients) if (name === client) this.#options.connections.clientGone(address);
  }

  /** Another member's message, if it is about connections that there are already. @returns whether it is */
  surveys(from: Sender, message: PeerMessage): boolean {
    if (message.type !== 'probe' && message.type !== 'probing') return false;
    const answer = this.#survival.doubt({ address: parseAddress(from.address)!, client: from.epoch === 0 });
    if (answer && message.type === 'probe') this.#options.session()?.sendPeerMessage(from.member, { type: 'probing' });
    return true;
  }

  /** Whether this member's guests have sent something to a host that sleeps: it is to be woken before they sleep. */
  waits(): boolean {
    return this.#waitingData.waits();
  }

  /** This member was frozen until now. It joins next. */
  thawed(): void {
    this.#thawed = true;
    this.#joined ??= setTimeout(this.#lookAtAll, AFTER_JOIN).unref();
  }

  close(): void {
    clearTimeout(this.#joined);
    clearTimeout(this.#late);
    this.#waitingData.close();
    this.#survival.close();
    this.#silence?.close();
  }

  readonly #lookAtAll = (): void => {
    this.#joined = undefined;
    if (this.#thawed) this.#survival.thawed();
    this.#thawed = false;
    if (this.#asks) this.#askAll();
    this.#asks = false;
    this.#watchAll();
  };

  readonly #watchAll = (): void => {
    const { connections, hostAt } = this.#options;
    for (const { peer, epoch } of connections.alive()) {
      if (epoch === 0) this.#watchClient(this.#clients.get(peer));
      else this.#watch(hostAt(peer), epoch);
    }
  };

  /**
   * The other side of each connection is to look as well. Where this side resets its end first, nothing is sent in vain any
   * more, and a side that only waits would hear of it from nobody.
   */
  #askAll(): void {
    const asked = new Set<string>();
    for (const { peer, epoch } of this.#options.connections.alive()) {
      const name = this.#nameOf({ address: peer, client: epoch === 0 });
      if (name !== undefined && !asked.has(name)) this.#options.session()?.sendPeerMessage(name, { type: 'probe' });
      if (name !== undefined) asked.add(name);
    }
  }

  #nameOf({ address, client }: PeerId): string | undefined {
    return client ? this.#clients.get(address) : this.#options.hostAt(address);
  }

  #hearsOf(address: number, epoch: number): void {
    this.#first.set(address, Math.min(epoch, this.#first.get(address) ?? epoch));
  }

  /** The end of that epoch is to be heard of. */
  #watch(host: string | undefined, epoch: number): void {
    if (host === undefined || epoch === 0 || (this.#watched.get(host) ?? 0) >= epoch) return;
    this.#watched.set(host, epoch);
    this.#options.session()?.watch(host, epoch);
  }

  #meetsClient(address: number, name: string): void {
    this.#clients.delete(address);
    this.#clients.set(address, name);
    for (const [oldest] of this.#clients) if (this.#clients.size > MOST_CLIENTS) this.#clients.delete(oldest);
    this.#watchClient(name);
  }

  #watchClient(name: string | undefined): void {
    if (name === undefined || this.#watched.has(name)) return;
    this.#watched.set(name, 0);
    this.#options.session()?.watch(name, 0);
  }

  #listenForSilence(): Silence {
    const { connections, native, session } = this.#options;
    return new Silence({
      peers: connections,
      native,
      answers: ({ address, client }) => client || this.#up.has(address),
      isControl: ({ local, localPort }) => {
        const own = session()?.observation?.local;
        return own !== undefined && localPort === own.port && local === parseAddress(own.address);
      },
      onSilent: (peer) => {
        const name = this.#nameOf(peer);
        if (name !== undefined) session()?.sendPeerMessage(name, { type: 'probe' });
      },
      onSeedSilent: () => {
        this.#seedSilent = true;
        session()?.reconnect('it acknowledges nothing');
      },
    });
  }
}
