/** A member that has joined: which frames it may send, where they go, and what ends with it. */
import type { FromSeed } from '../../../contract/control/from-seed';
import type { ToSeed } from '../../../contract/control/to-seed';
import type { Channel } from '../../control/channel';
import type { Machine } from '../machine/interpreter';
import { epochOf } from '../machine/state';
import type { OperatorFrame } from '../operators/operator-api';
import type { ClientLease } from './clients';
import { noHost } from './members';
import type { Peer } from './peer';
import type { PortRange } from './port-ranges';
import { machineOf, type Shared } from './shared';
import { addressesOf, vouched } from './whereabouts';

export type Frame<T extends ToSeed['type']> = Extract<ToSeed, { type: T }>;

/** As what a connection has joined. */
export type Joined =
  | { readonly is: 'host'; readonly peer: Peer; readonly range: PortRange; readonly host: Machine }
  | { readonly is: 'client'; readonly peer: Peer; readonly range: PortRange; readonly lease: ClientLease | undefined };

/** The connection that a member has joined over. */
export interface MemberConnection {
  readonly channel: Channel<FromSeed>;
  readonly refuse: (reason: string) => void;
  /** The host has left, and would keep the connection. */
  readonly park: (host: Machine) => void;
}

type MemberFrame = Exclude<ToSeed, OperatorFrame | { type: 'join' }>;

/** A supervisor locates a port once, however many guests wait: a peer with more open locates than this is broken. */
const MAX_LOCATES = 4_096;
/** Clients that one member may watch. */
const MAX_CLIENTS = 4_096;

export class Member {
  readonly shared: Shared;
  readonly joined: Joined;
  readonly connection: MemberConnection;
  /** Clients that the member watches. */
  readonly #clients = new Set<string>();

  constructor(shared: Shared, joined: Joined, connection: MemberConnection) {
    this.shared = shared;
    this.joined = joined;
    this.connection = connection;
  }

  get peer(): Peer {
    return this.joined.peer;
  }

  /** The member's number. */
  get id(): number {
    return this.peer.sender.member;
  }

  /** The host that the member is; undefined for a client. */
  get host(): Machine | undefined {
    return this.joined.is === 'host' ? this.joined.host : undefined;
  }

  onFrame(frame: MemberFrame): void {
    (FRAMES[frame.type] as (member: Member, frame: MemberFrame) => void)(this, frame);
  }

  /** The member is gone. */
  end(reason: string) {
    const { id, joined, peer } = this;
    const { members, clientWatches, services, membership, barriers } = this.shared;
    members.remove(peer);
    membership.forget(id);
    barriers.forget(peer);
    services.forget(id);
    joined.range.free();
    for (const host of peer.known) host.forget(id);
    for (const client of this.#clients) clientWatches.forget(id, client);
    if (joined.is === 'host') return joined.host.handle({ type: 'lost', member: id, reason });
    clientWatches.left(peer.name);
    joined.lease?.free();
  }

  locate({ id, host: name, port, waited = 0, protocol }: Frame<'locate'>) {
    const { peer } = this;
    const { channel, refuse } = this.connection;
    if (peer.locates.has(id)) return refuse(`locate ${id} is open already`);
    if (peer.locates.size >= MAX_LOCATES) return refuse(`${peer.locates.size} locates are open already`);
    const host = machineOf(this.shared, name);
    if (!host) {
      const reason = noHost(this.shared.directory, name);
      channel.send({ type: 'unreachable', id, errno: 'EHOSTUNREACH', reason });
      return;
    }
    peer.locates.set(id, host.entry.name);
    this.peer.known.add(host);
    this.shared.prefetch.located(this.host ? peer.name : undefined, host.entry.name);
    host.handle({ type: 'locate', member: this.id, by: peer.name, id, port, waited, protocol });
  }

  cancel({ id }: Frame<'cancel'>): void {
    const { locates } = this.peer;
    const host = this.shared.hosts.get(locates.get(id) ?? '');
    locates.delete(id);
    host?.handle({ type: 'cancel', member: this.id, id });
  }

  watch({ host: name, epoch }: Frame<'watch'>) {
    if (epoch === 0) return this.#watchClient(name);
    const host = machineOf(this.shared, name);
    if (!host) return;
    this.peer.known.add(host);
    host.handle({ type: 'watch', member: this.id, epoch });
  }

  /** Of an epoch that has ended since, nothing is to be learnt. */
  used({ host: name, epoch }: Frame<'used'>): void {
    const host = machineOf(this.shared, name);
    if (!host || !this.host || epochOf(host.state) !== epoch) return;
    this.shared.prefetch.located(this.peer.name, host.entry.name);
  }

  #watchClient(name: string): void {
    const { clients, clientWatches } = this.shared;
    if (!clients.isName(name) || this.#clients.size >= MAX_CLIENTS) return;
    this.#clients.add(name);
    clientWatches.watch(name, this.id);
  }

  pass({ to, message }: Frame<'peerMessage'>): void {
    const { members, relay } = this.shared;
    const recipients = members.pass(this.peer, to, message);
    // What the relay acknowledges says nothing about its other side.
    if (message.type === 'probe') for (const recipient of recipients) relay.doubt(this.peer, recipient);
  }

  follow({ op, id }: Frame<'membership'>): void {
    const { membership } = this.shared;
    if (op === 'next') membership.next(this.id, id);
    else if (op === 'end') membership.end(this.id);
    else if (!membership.follow(this.id, id)) this.connection.refuse('it asks for the members too often');
  }

  acknowledge({ host: name, version }: Frame<'ack'>): void {
    const { hosts, services } = this.shared;
    const host = hosts.get(name);
    if (host) host.acknowledge(this.id, version);
    else services.acknowledge(this.id, name, version);
  }

  reportNat({ nat }: Frame<'natReport'>): void {
    const { host, peer } = this;
    const { channel } = this.connection;
    peer.sender = { ...peer.sender, addresses: addressesOf(nat, channel, peer.ports) };
    if (this.shared.flat !== undefined) return;
    host?.handle({ type: 'natReport', member: this.id, nat: vouched(nat, channel, peer.ports) });
  }

  knock({ port, secret }: Frame<'knock'>) {
    const { host, peer } = this;
    const { channel, refuse } = this.connection;
    if (host?.entry.kind !== 'instance') return refuse('only host instances are knocked at');
    const [first, count] = peer.ports;
    if (port < first || port >= first + count) return refuse(`port ${port} is not one of its ports`);
    this.shared.knocks.knock(host.entry.name, channel.peer, port, secret);
  }
}

/** What becomes of each frame. The table does not compile without a line for each type. */
const FRAMES: { readonly [T in MemberFrame['type']]: (member: Member, frame: Frame<T>) => void } = {
  locate: (member, frame) => member.locate(frame),
  cancel: (member, frame) => member.cancel(frame),
  watch: (member, frame) => member.watch(frame),
  used: (member, frame) => member.used(frame),
  data: ({ shared, peer }, { host, epoch }) => machineOf(shared, host)?.handle({ type: 'data', by: peer.name, epoch }),
  peerMessage: (member, frame) => member.pass(frame),
  relay: ({ shared, peer }, { id, to, message }) => shared.relay.request(peer, id, to, message),
  relayRefused: ({ shared }, { token, reason }) => shared.relay.refused(token, reason),
  ack: (member, frame) => member.acknowledge(frame),
  membership: (member, frame) => member.follow(frame),
  barrier: ({ shared, peer, connection }, frame) => {
    const broken = shared.barriers.wait(peer, frame);
    if (broken !== undefined) connection.refuse(broken);
  },
  leaveBarrier: ({ shared, peer }, { id }) => shared.barriers.leave(peer, id),
  useService: ({ shared, id, connection }, { service }) => {
    if (!shared.services.use(id, service)) connection.refuse(`there is no service '${service}' in the cluster`);
  },
  chosen: ({ shared, id, peer }, frame) => shared.services.chosen(id, peer.name, frame),
  natReport: (member, frame) => member.reportNat(frame),
  knock: (member, frame) => member.knock(frame),
  // A client is nobody's location: what it listens on and whether it is idle concerns nobody.
  report: ({ host, id }, frame) => host?.handle({ ...frame, member: id }),
  ports: ({ host, id }, frame) => host?.handle({ ...frame, member: id }),
  held: ({ host, id }, frame) => host?.handle({ ...frame, member: id }),
  suspend: ({ shared, host, id }, frame) => {
    // Before anything else: what comes later is not lost.
    if (host) shared.data.asks(host.entry.name);
    host?.handle({ ...frame, member: id });
  },
  stay: ({ host, id }, frame) => host?.handle({ ...frame, member: id }),
  load: ({ shared, host, peer }, frame) => host && shared.services.load(host.entry.name, peer.sender.epoch, frame),
  leave: ({ host, id, connection }, frame) => {
    host?.handle({ type: 'leave', member: id, frame });
    if (host && frame.park) connection.park(host);
  },
};
