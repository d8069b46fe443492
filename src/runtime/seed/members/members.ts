import { randomInt } from 'node:crypto';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { PeerMessage, Recipient, Sender } from '../../../contract/peer/peer-messages';
import { Allowance } from '../allowance';
import type { Directory } from '../locate/directory';
import type { Connections, Machine } from '../machine/interpreter';
import { type MemberId, sessionOf } from '../machine/state';
import type { Peer } from './peer';

/** Messages that a member may send at once, and each second. */
const BURST = 8_192;
const RATE = 4_096;

/**
 * The members that have joined, by number, and messages from one to another. The seed vouches for the sender, not for
 * the message.
 */
export class Members implements Connections {
  readonly #directory: Directory;
  readonly #hosts: ReadonlyMap<string, Machine>;
  readonly #byNumber = new Map<MemberId, Peer>();
  /** Clients by name: several may act under the name of one host. */
  readonly #clients = new Map<string, Set<Peer>>();
  readonly #allowances = new WeakMap<Peer, Allowance>();
  /** Parts of the seed that locate hosts as members do: what is sent to them. */
  readonly #inside = new Map<MemberId, (frame: FromSeed) => void>();
  /** A number that an earlier seed gave out names nobody. */
  #next = randomInt(2 ** 47);

  constructor(directory: Directory, hosts: ReadonlyMap<string, Machine>) {
    this.#directory = directory;
    this.#hosts = hosts;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  all(): Iterable<Peer> {
    return this.#byNumber.values();
  }

  /** A member's number, and what others are sent of it. */
  introduce(who: Omit<Sender, 'member'>): Sender {
    return { member: this.#next++, ...who };
  }

  /** A part of the seed that locates hosts as a member does, and is sent what a member is. */
  addInside(receive: (frame: FromSeed) => void): MemberId {
    const member = this.#next++;
    this.#inside.set(member, receive);
    return member;
  }

  add(peer: Peer): void {
    this.#byNumber.set(peer.sender.member, peer);
    if (isClient(peer)) this.#clients.set(peer.name, new Set([...(this.#clients.get(peer.name) ?? []), peer]));
    this.#allowances.set(peer, new Allowance(BURST, RATE));
  }

  remove(peer: Peer): void {
    this.#byNumber.delete(peer.sender.member);
    const named = this.#clients.get(peer.name);
    if (named?.delete(peer) && named.size === 0) this.#clients.delete(peer.name);
  }

  /** Passes a message on, or answers that it cannot be. @returns the recipients that it was passed on to */
  pass(from: Peer, to: Recipient, message: PeerMessage): readonly Peer[] {
    const recipients = this.#recipients(from, to, message);
    const passed = { type: 'peerMessage', from: from.sender, message } as const;
    const reasons = recipients.map((found) => (typeof found === 'string' ? found : found.inbox.pass(from, passed)));
    const id = 'id' in message ? message.id : undefined;
    const reason = reasons.find((one) => one !== undefined);
    if (reason !== undefined) from.channel.send({ type: 'undeliverable', to, id, reason });
    return recipients.filter((found, i) => typeof found !== 'string' && reasons[i] === undefined) as Peer[];
  }

  /** A client is found by its name only for the sake of connections that there are. */
  #recipients(from: Peer, to: Recipient, message: PeerMessage): ReadonlyArray<Peer | string> {
    const problem = misplaced(from, message);
    if (problem !== undefined) return [problem];
    const clients = typeof to === 'string' && message.type === 'probe' ? this.#clients.get(to) : undefined;
    return clients ? [...clients].map((client) => this.find(from, client.sender.member)) : [this.find(from, to)];
  }

  /** The recipient, if it is there and `from` may send it something now; or why not. */
  find(from: Peer, to: Recipient): Peer | string {
    if (!this.#allowances.get(from)?.take()) return `more than ${RATE} messages a second`;
    if (typeof to === 'number') return this.#byNumber.get(to) ?? `member ${to} is not there any more`;
    return this.ofHost(to);
  }

  /** The member that is the host now, or why there is none. */
  ofHost(to: string): Peer | string {
    const found = this.#directory.find(to);
    const state = found && this.#hosts.get(found.host.name)?.state;
    if (!state) return noHost(this.#directory, to);
    const session = sessionOf(state);
    if (!session) return `'${to}' is ${state.phase.state}`;
    const peer = session.peer === undefined ? undefined : this.#byNumber.get(session.peer);
    return peer ?? `the connection to '${to}' is lost`;
  }

  /** The host `from` is sent where `to` is, as its guests are likely to connect to it. @returns whether both are there */
  expect(from: string, to: Machine): boolean {
    const peer = this.ofHost(from);
    if (typeof peer === 'string') return false;
    const epoch = to.tell(peer.sender.member);
    if (epoch === undefined) return false;
    peer.known.add(to);
    peer.channel.send({ type: 'expected', host: to.entry.name, epoch });
    return true;
  }

  send(member: MemberId, frame: FromSeed): void {
    const inside = this.#inside.get(member);
    if (inside) inside(frame);
    else this.#byNumber.get(member)?.channel.send(frame);
  }

  answer(member: MemberId, frame: Extract<FromSeed, { type: 'located' | 'unreachable' }>): void {
    const peer = this.#byNumber.get(member);
    peer?.locates.delete(frame.id);
    this.send(member, frame);
  }

  dismiss(member: MemberId, reason: string): void {
    const channel = this.#byNumber.get(member)?.channel;
    channel?.send({ type: 'stop', reason, fenced: true });
    void channel?.end();
  }

  destroy(member: MemberId): void {
    this.#byNumber.get(member)?.channel.destroy();
  }
}

/** Where a host's name is needed, and none is given. */
export function noHost(directory: Pick<Directory, 'serviceOf'>, name: string): string {
  if (directory.serviceOf(name) !== undefined) return `'${name}' is a service; allowed: the name of a host`;
  return `there is no host '${name}' in the cluster`;
}

const isClient = ({ sender }: Peer) => sender.epoch === 0;

/** Why a message is not passed on: the sender names an address that is not its own, or ports of others beside it. */
function misplaced({ sender, ports: [first, many], channel }: Peer, message: PeerMessage): string | undefined {
  if (!('address' in message)) return undefined;
  const { address } = message;
  if (!sender.addresses.includes(address)) {
    return `${address} is not an address of '${sender.name}'; allowed: ${sender.addresses.join(', ')}`;
  }
  const ports = message.type === 'punch' ? message.from : message.ports;
  const stray = ports.find((port) => port < first || port >= first + many);
  // On the internet its NAT may have given it others.
  if (address === channel.peer || stray === undefined) return undefined;
  return `port ${stray} at ${address} is not a port of '${sender.name}'; allowed: ${first} to ${first + many - 1}`;
}
