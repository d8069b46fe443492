import type { AnyFrame } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Identity } from '../../../contract/control/psk';
import type { ToSeed } from '../../../contract/control/to-seed';
import { checkToSeed } from '../../../contract/control/to-seed';
import type { Manifest, ManifestHost } from '../../../contract/manifest';
import type { Channel, ChannelEnd } from '../../control/channel';
import type { PeerHandlers } from '../../control/server';
import type { Log } from '../../control/session-options';
import type { WaitingData } from '../data/waiting-data';
import type { Directory } from '../locate/directory';
import type { Machine } from '../machine/interpreter';
import { admit, admitsRelease } from '../machine/joins';
import { CLOCK_SKEW, isToReturn, nextEpoch } from '../machine/state';
import type { OperatorApi } from '../operators/operator-api';
import type { Prefetch } from '../prefetch/prefetch';
import type { Relay } from '../relay/relay';
import type { Services } from '../services/services';
import type { Barriers } from './barriers';
import type { ClientWatches } from './client-watches';
import { type ClientLease, type Clients, UNDER_HOST } from './clients';
import { Inbox } from './inbox';
import { type Members, noHost } from './members';
import type { Membership } from './membership';
import type { Parked } from './parked';
import type { Peer } from './peer';
import type { PortRange, PortRanges } from './port-ranges';
import { addressesOf, flatAddress, unknownNat, vouched } from './whereabouts';

/** What connections share. */
export interface Shared {
  readonly manifest: Manifest;
  readonly directory: Directory;
  readonly hosts: ReadonlyMap<string, Machine>;
  readonly clients: Clients;
  readonly clientWatches: ClientWatches;
  readonly membership: Membership;
  readonly barriers: Barriers;
  /** Network `flat`: its number. */
  readonly flat: number | undefined;
  readonly members: Members;
  readonly portRanges: PortRanges;
  readonly parked: Parked;
  readonly relay: Relay;
  readonly services: Services;
  readonly data: Pick<WaitingData, 'asks'>;
  readonly prefetch: Pick<Prefetch, 'located'>;
  /** A host has answered a client from outside. @throws RangeError when that is no datagram */
  readonly answered: (from: Peer, bytes: Buffer) => void;
  /** What members are told of the cluster's other seed, where there is one. */
  readonly standby: { readonly seed: string; readonly heartbeat: number } | undefined;
  /** Calls back once hosts of an earlier seed have had their time to rejoin: at once where it is over. */
  readonly afterGrace: (act: () => void) => void;
  /** See `World.epochClock`. */
  readonly epochClock: () => number;
  readonly operator: OperatorApi;
  readonly log: Log;
}

type Frame<T extends ToSeed['type']> = Extract<ToSeed, { type: T }>;

/**
 * What a connection is: `new` until its `join`, and `waits` until that is answered. `parked`: that of a host that has
 * left, until it joins again.
 */
type Role =
  | { readonly is: 'new' }
  | { readonly is: 'waits' }
  | { readonly is: 'parked'; readonly host: string }
  | { readonly is: 'host'; readonly peer: Peer; readonly range: PortRange; readonly host: Machine }
  | { readonly is: 'client'; readonly peer: Peer; readonly range: PortRange; readonly lease: ClientLease | undefined }
  | { readonly is: 'gone' };

type Joined = Extract<Role, { readonly peer: Peer }>;

/** A supervisor locates a port once, however many guests wait: a peer with more open locates than this is broken. */
const MAX_LOCATES = 4_096;
/** Clients that one member may watch. */
const MAX_CLIENTS = 4_096;
const JOIN_LIMIT = 10_000;

/** One control connection: which frames the other side may send, and where they go. */
export class Connection implements PeerHandlers {
  readonly #shared: Shared;
  readonly #identity: Identity;
  readonly #channel: Channel<FromSeed>;
  readonly #joinTimer: NodeJS.Timeout | undefined;
  /** Of an operator's connection: what it follows ends with it. */
  #closing: AbortController | undefined;
  /** Hosts that were located: their machines may know the member. */
  readonly #located = new Set<Machine>();
  /** Clients that the member watches. */
  readonly #clients = new Set<string>();
  #role: Role = { is: 'new' };

  constructor(shared: Shared, identity: Identity, channel: Channel<FromSeed>) {
    this.#shared = shared;
    this.#identity = identity;
    this.#channel = channel;
    if (identity.kind === 'operator') return;
    this.#joinTimer = setTimeout(() => this.#refuse(`did not join within ${JOIN_LIMIT} ms`), JOIN_LIMIT);
  }

  readonly onFrame = (raw: AnyFrame): void => {
    const checked = checkToSeed(raw);
    if ('problem' in checked) this.#refuse(checked.problem);
    else this.#dispatch(checked.frame);
  };

  /** An answer to a client from outside: hosts have some to send. */
  readonly onBytes = (bytes: Buffer): void => {
    const role = this.#role;
    if (role.is === 'gone') return;
    if (role.is === 'host') this.#shared.answered(role.peer, bytes);
    else this.#refuse('only hosts send binary frames');
  };

  readonly onClose = ({ error }: ChannelEnd): void => {
    clearTimeout(this.#joinTimer);
    this.#closing?.abort();
    if (error) this.#shared.log('warn', `lost ${this.#claimed} at ${this.#channel.peer}: ${error.message}`);
    const role = this.#role;
    this.#role = { is: 'gone' };
    if (role.is === 'parked') this.#shared.parked.remove(role.host, this.#channel);
    if (role.is === 'host' || role.is === 'client') this.#ended(role, error?.message ?? 'closed');
  };

  /** The member is gone. */
  #ended(role: Joined, reason: string): void {
    const { members, clientWatches, services } = this.#shared;
    const { member } = role.peer.sender;
    members.remove(role.peer);
    this.#shared.membership.forget(member);
    this.#shared.barriers.forget(role.peer);
    services.forget(member);
    role.range.free();
    for (const host of this.#located) host.forget(member);
    for (const client of this.#clients) clientWatches.forget(member, client);
    this.#located.clear();
    this.#clients.clear();
    if (role.is === 'client') clientWatches.left(role.peer.name);
    if (role.is === 'host') role.host.handle({ type: 'lost', member, reason });
    else role.lease?.free();
  }

  get #claimed(): string {
    return this.#identity.kind === 'host' ? `host '${this.#identity.host}'` : `the ${this.#identity.kind}`;
  }

  #refuse(reason: string, fenced?: boolean): void {
    this.#shared.log('warn', `refused ${this.#claimed} at ${this.#channel.peer}: ${reason}`);
    this.#channel.send({ type: 'refuse', reason, fenced });
    void this.#channel.end();
  }

  #dispatch(frame: ToSeed) {
    const { hosts, relay, services } = this.#shared;
    const role = this.#role;
    if (
      frame.type === 'status' ||
      frame.type === 'edges' ||
      frame.type === 'events' ||
      frame.type === 'reload' ||
      frame.type === 'command'
    ) {
      if (this.#identity.kind !== 'operator') return this.#refuse(`'${frame.type}' is for operators`);
      this.#closing ??= new AbortController();
      return this.#shared.operator.serve(this.#channel, frame, this.#closing.signal);
    }
    if (role.is === 'gone') return;
    if (role.is === 'waits') return this.#refuse(`'${frame.type}' came before the answer to 'join'`);
    if (role.is === 'new' || role.is === 'parked') {
      if (frame.type === 'join') return this.#join(frame);
      return this.#refuse(`'${frame.type}' came before 'join'`);
    }
    const { peer } = role;
    const { member } = peer.sender;
    switch (frame.type) {
      case 'join':
        return this.#refuse('has joined already');
      case 'locate':
        return this.#locate(peer, frame);
      case 'watch':
        return this.#watch(member, frame);
      case 'data':
        return this.#host(frame.host)?.handle({ type: 'data', by: peer.name, epoch: frame.epoch });
      case 'cancel':
        return this.#cancel(peer, frame.id);
      case 'peerMessage':
        return this.#pass(peer, frame);
      case 'relay':
        return relay.request(peer, frame.id, frame.to, frame.message);
      case 'ack':
        if (!hosts.has(frame.host)) return services.acknowledge(member, frame.host, frame.version);
        return hosts.get(frame.host)?.acknowledge(member, frame.version);
      case 'membership':
        return this.#membership(member, frame);
      case 'barrier': {
        const broken = this.#shared.barriers.wait(peer, frame);
        return broken === undefined ? undefined : this.#refuse(broken);
      }
      case 'leaveBarrier':
        return this.#shared.barriers.leave(peer, frame.id);
      case 'useService':
        if (!services.use(member, frame.service)) this.#refuse(`there is no service '${frame.service}' in the cluster`);
        return;
      case 'chosen':
        return services.chosen(member, peer.name, frame);
      case 'natReport': {
        const nat = vouched(frame.nat, this.#channel, peer.ports);
        peer.sender = { ...peer.sender, addresses: addressesOf(frame.nat, this.#channel, peer.ports) };
        if (role.is === 'host' && this.#shared.flat === undefined) role.host.handle({ type: 'natReport', member, nat });
        return;
      }
      case 'report':
        if (role.is === 'host') role.host.handle({ ...frame, member });
        return;
      default:
        // A client is nobody's location: what it listens on and whether it is idle concerns nobody.
        if (role.is !== 'host') return;
        if (frame.type === 'leave' && frame.park) return this.#leave(role, frame);
        if (frame.type === 'load') return services.load(role.host.entry.name, peer.sender.epoch, frame);
        // Before anything else: what comes later is not lost.
        if (frame.type === 'suspend') this.#shared.data.asks(role.host.entry.name);
        return dispatchOfHost(role.host, member, frame);
    }
  }

  /** Of a host that would keep the connection. Where it is not to come back, the connection ends here. */
  #leave(role: Extract<Role, { is: 'host' }>, frame: Frame<'leave'>): void {
    const { host, peer } = role;
    const channel = this.#channel;
    host.handle({ type: 'leave', member: peer.sender.member, frame });
    if (!channel.open) return;
    const { name } = host.entry;
    this.#role = { is: 'parked', host: name };
    this.#ended(role, 'parked');
    if (!isToReturn(host.state)) return void channel.end();
    this.#shared.parked.add(name, channel);
    channel.send({ type: 'parked' });
    // From here on nothing is sent: a machine that stands still acknowledges nothing.
    channel.rest();
  }

  #locate(peer: Peer, { id, host: name, port, waited = 0, protocol }: Frame<'locate'>) {
    if (peer.locates.has(id)) return this.#refuse(`locate ${id} is open already`);
    if (peer.locates.size >= MAX_LOCATES) return this.#refuse(`${peer.locates.size} locates are open already`);
    const host = this.#host(name);
    if (!host) {
      const reason = noHost(this.#shared.directory, name);
      this.#channel.send({ type: 'unreachable', id, errno: 'EHOSTUNREACH', reason });
      return;
    }
    peer.locates.set(id, host.entry.name);
    this.#located.add(host);
    this.#shared.prefetch.located(this.#role.is === 'host' ? peer.name : undefined, host.entry.name);
    host.handle({ type: 'locate', member: peer.sender.member, by: peer.name, id, port, waited, protocol });
  }

  #pass(peer: Peer, { to, message }: Frame<'peerMessage'>): void {
    const { members, relay } = this.#shared;
    const recipients = members.pass(peer, to, message);
    // What the relay acknowledges says nothing about its other side.
    if (message.type === 'probe') for (const recipient of recipients) relay.doubt(peer, recipient);
  }

  #watch(member: number, { host: name, epoch }: Frame<'watch'>): void {
    const { clients } = this.#shared;
    if (epoch === 0) {
      if (clients.isName(name) && this.#clients.size < MAX_CLIENTS) this.#watchClient(member, name);
      return;
    }
    const host = this.#host(name);
    if (!host) return;
    this.#located.add(host);
    host.handle({ type: 'watch', member, epoch });
  }

  #membership(member: number, { op, id }: Frame<'membership'>): void {
    const { membership } = this.#shared;
    if (op === 'next') membership.next(member, id);
    else if (op === 'end') membership.end(member);
    else if (!membership.follow(member, id)) this.#refuse('it asks for the members too often');
  }

  #watchClient(member: number, name: string): void {
    const { clientWatches } = this.#shared;
    this.#clients.add(name);
    clientWatches.watch(name, member);
  }

  #cancel(peer: Peer, id: number): void {
    const host = this.#shared.hosts.get(peer.locates.get(id) ?? '');
    peer.locates.delete(id);
    host?.handle({ type: 'cancel', member: peer.sender.member, id });
  }

  #join(frame: Frame<'join'>) {
    clearTimeout(this.#joinTimer);
    if (this.#role.is === 'parked') {
      this.#shared.parked.remove(this.#role.host, this.#channel);
      this.#role = { is: 'new' };
      this.#channel.beat();
    }
    const identity = this.#identity;
    if (identity.kind === 'operator') return this.#refuse("an operator's key does not join");
    const host = frame.host === undefined ? undefined : this.#host(frame.host);
    if (frame.host !== undefined && !host) return this.#refuse(noHost(this.#shared.directory, frame.host));
    if (identity.kind === 'host') {
      const { epoch } = identity;
      const named = host?.entry.name === identity.host && frame.epoch === epoch;
      if (host && named && !frame.asClient) return this.#joinAsHost(host, epoch, frame);
      if (host && named) {
        if (admitsRelease(host.state, { epoch, life: frame.life })) return this.#joinUnder(host, frame);
        return this.#refuse(`epoch ${epoch} of '${identity.host}' is not being released`);
      }
      return this.#refuse(`the key is for epoch ${identity.epoch} of '${identity.host}' only`);
    }
    if (!host) return this.#joinAsClient(frame);
    const { name, kind } = host.entry;
    if (frame.asClient) this.#joinUnder(host, frame);
    else if (kind === 'instance') this.#joinAsInstance(host, frame);
    else this.#refuse(`'${name}' is a function host: join as a client of its own, or under its name`);
  }

  /** An instance that has not joined before does not take the place of one that an earlier seed knows. */
  #joinAsInstance(host: Machine, frame: Frame<'join'>) {
    const { epoch } = frame;
    const { epochClock, afterGrace } = this.#shared;
    if (epoch !== undefined) {
      const latest = Math.max(host.state.lastEpoch, epochClock() + CLOCK_SKEW);
      if (epoch > latest) return this.#refuse(`epoch ${epoch} is to come; allowed: up to ${latest}`);
      return this.#joinAsHost(host, epoch, frame);
    }
    this.#role = { is: 'waits' };
    afterGrace(() => {
      if (this.#role.is !== 'waits' || !this.#channel.open) return;
      this.#role = { is: 'new' };
      this.#joinAsHost(host, nextEpoch(host.state, epochClock()), frame);
    });
  }

  #joinAsHost(host: Machine, epoch: number, frame: Frame<'join'>) {
    const { life, born, ports } = frame;
    const refusal = admit(host.state, { epoch, life });
    if (refusal) return this.#refuse(refusal.reason, refusal.fenced);
    // If one is parked still, this is another one, and that one is dead.
    this.#shared.parked.close(host.entry.name);
    const { name, address } = host.entry;
    const entered = this.#enter(frame, name, { address, nodeId: host.nodeId, epoch }, host.entry);
    this.#role = { is: 'host', ...entered, host };
    const { sender, ports: given } = entered.peer;
    const { flat } = this.#shared;
    const where =
      flat !== undefined
        ? { address: flatAddress(flat, address) }
        : { nat: vouched(frame.nat ?? unknownNat(this.#channel, given), this.#channel, given) };
    host.handle({ type: 'join', member: sender.member, epoch, life, born, ports, ...where });
    this.#shared.relay.rejoined(entered.peer);
  }

  /** A client with the address of a host. */
  #joinUnder({ entry, nodeId }: Machine, frame: Frame<'join'>) {
    const self = { address: entry.address, nodeId, epoch: 0 };
    const entered = this.#enter(frame, `${entry.name}${UNDER_HOST}`, self, entry);
    this.#role = { is: 'client', ...entered, lease: undefined };
    this.#shared.clientWatches.joined(entered.peer.name, true);
  }

  #joinAsClient(frame: Frame<'join'>) {
    const lease = this.#shared.clients.admit(frame.virtual);
    if (!lease) return this.#refuse('all addresses for clients are in use');
    const { name, address, nodeId } = lease;
    const entered = this.#enter(frame, name, { address, nodeId, epoch: 0 });
    this.#role = { is: 'client', ...entered, lease };
    this.#shared.clientWatches.joined(name, frame.virtual === address);
    this.#shared.membership.changed({ id: nodeId, name, address, epoch: 0, state: 'joined' }, false);
    this.#shared.relay.rejoined(entered.peer);
  }

  /** From now on this is a member: it is sent the welcome. */
  #enter(
    { directoryDigest, nat }: Frame<'join'>,
    name: string,
    self: { readonly address: string; readonly nodeId: number; readonly epoch: number },
    entry?: ManifestHost,
  ): { readonly peer: Peer; readonly range: PortRange } {
    const { members, directory, manifest, relay, portRanges, standby } = this.#shared;
    const channel = this.#channel;
    const range = portRanges.take(channel.peer);
    const { ports } = range;
    const addresses = addressesOf(nat, channel, ports);
    const sender = members.introduce({ name, address: self.address, epoch: self.epoch, addresses });
    const peer: Peer = { name, channel, sender, ports, inbox: new Inbox(channel), locates: new Map() };
    members.add(peer);
    const welcome = {
      type: 'welcome' as const,
      cluster: manifest.cluster.name,
      cidr: manifest.cluster.cidr,
      self: { name: entry?.name ?? name, ...self },
      host: entry,
      observed: channel.peer,
      observedPort: channel.peerPort,
      dataPort: relay.port,
      standby,
      ports,
    };
    channel.sendEncoded(directory.welcome(welcome, directoryDigest));
    return { peer, range };
  }

  #host(name: string): Machine | undefined {
    const found = this.#shared.directory.find(name);
    return found && this.#shared.hosts.get(found.host.name);
  }
}

/** Frames that only a host has to send. */
function dispatchOfHost(host: Machine, member: number, frame: Frame<'ports' | 'held' | 'suspend' | 'stay' | 'leave'>) {
  switch (frame.type) {
    case 'leave':
      return host.handle({ type: 'leave', member, frame });
    case 'ports':
    case 'held':
    case 'suspend':
    case 'stay':
      return host.handle({ ...frame, member });
    default:
      return frame satisfies never;
  }
}
