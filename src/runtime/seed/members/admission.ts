/** What a connection joins as: a host, an instance, a client; and why it may not. */
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Identity } from '../../../contract/control/psk';
import type { ManifestHost } from '../../../contract/manifest';
import type { Channel } from '../../control/channel';
import type { Machine } from '../machine/interpreter';
import { admit, admitsRelease } from '../machine/joins';
import { CLOCK_SKEW, nextEpoch } from '../machine/state';
import { UNDER_HOST } from './clients';
import { Inbox } from './inbox';
import type { Frame, Joined } from './member';
import { noHost } from './members';
import type { Peer } from './peer';
import type { PortRange } from './port-ranges';
import { machineOf, type Shared } from './shared';
import { addressesOf, flatAddress, unknownNat, vouched } from './whereabouts';

/** The connection that a `join` has come over. */
export interface Joiner {
  readonly shared: Shared;
  readonly identity: Identity;
  readonly channel: Channel<FromSeed>;
  refuse(reason: string, fenced?: boolean): void;
  /** `act` is called once hosts of an earlier seed have had their time to rejoin, if the connection is there still. */
  afterGrace(act: () => void): void;
  /** From now on it is a member. */
  entered(as: Joined): void;
}

export function join(joiner: Joiner, frame: Frame<'join'>) {
  const { shared, identity } = joiner;
  if (identity.kind === 'operator') return joiner.refuse("an operator's key does not join");
  const host = frame.host === undefined ? undefined : machineOf(shared, frame.host);
  if (frame.host !== undefined && !host) return joiner.refuse(noHost(shared.directory, frame.host));
  if (identity.kind === 'host') {
    const { epoch } = identity;
    const named = host?.entry.name === identity.host && frame.epoch === epoch;
    if (host && named && !frame.asClient) return joinAsHost(joiner, host, epoch, frame);
    if (host && named) {
      if (admitsRelease(host.state, { epoch, life: frame.life })) return joinUnder(joiner, host, frame);
      return joiner.refuse(`epoch ${epoch} of '${identity.host}' is not being released`);
    }
    return joiner.refuse(`the key is for epoch ${identity.epoch} of '${identity.host}' only`);
  }
  if (!host) return joinAsClient(joiner, frame);
  const { name, kind } = host.entry;
  if (frame.asClient) joinUnder(joiner, host, frame);
  else if (kind === 'instance') joinAsInstance(joiner, host, frame);
  else joiner.refuse(`'${name}' is a function host: join as a client of its own, or under its name`);
}

/** An instance that has not joined before does not take the place of one that an earlier seed knows. */
function joinAsInstance(joiner: Joiner, host: Machine, frame: Frame<'join'>) {
  const { epoch } = frame;
  const { epochClock } = joiner.shared;
  if (epoch !== undefined) {
    const latest = Math.max(host.state.lastEpoch, epochClock() + CLOCK_SKEW);
    if (epoch > latest) return joiner.refuse(`epoch ${epoch} is to come; allowed: up to ${latest}`);
    return joinAsHost(joiner, host, epoch, frame);
  }
  joiner.afterGrace(() => joinAsHost(joiner, host, nextEpoch(host.state, epochClock()), frame));
}

function joinAsHost(joiner: Joiner, host: Machine, epoch: number, frame: Frame<'join'>) {
  const { shared, channel } = joiner;
  const { life, born, ports } = frame;
  const refusal = admit(host.state, { epoch, life });
  if (refusal) return joiner.refuse(refusal.reason, refusal.fenced);
  // If one is parked still, this is another one, and that one is dead.
  shared.parked.close(host.entry.name);
  const { name, address } = host.entry;
  const entered = enter(joiner, frame, name, { address, nodeId: host.nodeId, epoch }, host.entry);
  joiner.entered({ is: 'host', ...entered, host });
  const { sender, ports: given } = entered.peer;
  const { flat } = shared;
  const where =
    flat !== undefined
      ? { address: flatAddress(flat, address) }
      : { nat: vouched(frame.nat ?? unknownNat(channel, given), channel, given) };
  host.handle({ type: 'join', member: sender.member, epoch, life, born, ports, ...where });
  shared.relay.rejoined(entered.peer);
}

/** A client with the address of a host. */
function joinUnder(joiner: Joiner, { entry, nodeId }: Machine, frame: Frame<'join'>) {
  const self = { address: entry.address, nodeId, epoch: 0 };
  const entered = enter(joiner, frame, `${entry.name}${UNDER_HOST}`, self, entry);
  joiner.entered({ is: 'client', ...entered, lease: undefined });
  joiner.shared.clientWatches.joined(entered.peer.name, true);
}

function joinAsClient(joiner: Joiner, frame: Frame<'join'>) {
  const { shared } = joiner;
  const lease = shared.clients.admit(frame.virtual);
  if (!lease) return joiner.refuse('all addresses for clients are in use');
  const { name, address, nodeId } = lease;
  const entered = enter(joiner, frame, name, { address, nodeId, epoch: 0 });
  joiner.entered({ is: 'client', ...entered, lease });
  shared.clientWatches.joined(name, frame.virtual === address);
  shared.membership.changed({ id: nodeId, name, address, epoch: 0, state: 'joined' }, false);
  shared.relay.rejoined(entered.peer);
}

/** From now on this is a member: it is sent the welcome. */
function enter(
  { shared, channel }: Joiner,
  { directoryDigest, nat }: Frame<'join'>,
  name: string,
  self: { readonly address: string; readonly nodeId: number; readonly epoch: number },
  entry?: ManifestHost,
): { readonly peer: Peer; readonly range: PortRange } {
  const { members, directory, manifest, relay, portRanges, standby } = shared;
  const range = portRanges.take(channel.peer);
  const { ports } = range;
  const addresses = addressesOf(nat, channel, ports);
  const sender = members.introduce({ name, address: self.address, epoch: self.epoch, addresses });
  const peer: Peer = { name, channel, sender, ports, inbox: new Inbox(channel), locates: new Map(), known: new Set() };
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
