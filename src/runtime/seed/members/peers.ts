import { aliasAddress } from '../../../contract/abi/table';
import type { AnyFrame } from '../../../contract/control/frame-codec';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Identity } from '../../../contract/control/psk';
import { checkFrame, type ToSeed } from '../../../contract/control/to-seed';
import {
  formatAddress,
  inCidr,
  type Manifest,
  type ManifestHost,
  parseAddress,
  parseCidr,
} from '../../../contract/manifest';
import type { NatReport } from '../../../contract/peer/peer-messages';
import type { Channel, ChannelEnd } from '../../control/channel';
import type { PeerHandlers } from '../../control/server';
import type { Log } from '../../control/session';
import type { Directory } from '../locate/directory';
import { acknowledge, unsubscribeAll } from '../locate/subscriptions';
import type { Waiters } from '../locate/waiters';
import type { EpochSessions } from '../machine/epoch-sessions';
import type { Host, Peer } from '../machine/host';
import type { Lifecycle } from '../machine/lifecycle';
import type { OperatorApi } from '../operators/operator-api';
import type { Relay } from '../relay/relay';
import type { ClientLease, Clients } from './clients';
import { inboxOf } from './inbox';
import type { Members } from './members';
import type { PortRange } from './port-ranges';

export interface PeerOptions {
  readonly manifest: Manifest;
  readonly directory: Directory;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly clients: Clients;
  /** Network `flat`: its number. */
  readonly flat: number | undefined;
  readonly members: Members;
  readonly portRangeAt: (address: string) => PortRange;
  readonly relay: Relay;
  readonly lifecycle: Lifecycle;
  readonly sessions: EpochSessions;
  readonly waiters: Waiters;
  readonly operator: OperatorApi;
  readonly log: Log;
}

type Join = Extract<ToSeed, { type: 'join' }>;
/** What only a host has to say. */
type FrameOfHost = Extract<ToSeed, { type: 'ports' | 'report' | 'suspend' | 'stay' | 'leave' }>;

/** What one connection is, from its first frame on. */
type Standing =
  | { readonly role: 'new' }
  | { readonly role: 'host'; readonly peer: Peer; readonly host: Host }
  | { readonly role: 'client'; readonly peer: Peer; readonly place: ClientLease | undefined }
  | { readonly role: 'gone' };

/** Its supervisor asks once per port, however many guests wait: a peer that waits for more than this is broken. */
const MAX_ASKS = 4_096;
const JOIN_LIMIT = 10_000;
/** An instance may have its epoch from a seed whose clock went that much before this one's, in milliseconds. */
const CLOCK_SKEW = 3_600_000;

/** Serves one connection: who may say what, and where it goes. */
export function servePeer(options: PeerOptions, identity: Identity, channel: Channel<FromSeed>): PeerHandlers {
  const { manifest, directory, hosts, flat, clients, members, lifecycle, sessions, waiters, relay, operator, log } =
    options;
  let standing: Standing = { role: 'new' };
  let range: PortRange | undefined;
  const closing = new AbortController();
  const claimed = identity.kind === 'host' ? `host '${identity.host}'` : `the ${identity.kind}`;

  const refuse = (reason: string, fenced?: boolean) => {
    log('warn', `refused ${claimed} at ${channel.peer}: ${reason}`);
    channel.send({ type: 'refuse', reason, fenced });
    void channel.end();
  };

  const joinTimer = setTimeout(() => refuse(`did not join within ${JOIN_LIMIT} ms`), JOIN_LIMIT);
  if (identity.kind === 'operator') clearTimeout(joinTimer);

  const enterAs = (
    { directoryDigest, nat }: Join,
    name: string,
    self: { address: string; nodeId: number; epoch: number },
    entry?: ManifestHost,
  ) => {
    const { address, epoch } = self;
    range = options.portRangeAt(channel.peer);
    const sender = members.introduce({ name, address, epoch, addresses: addressesOf(nat) });
    const peer: Peer = {
      name,
      channel,
      sender,
      ports: range.ports,
      inbox: inboxOf(channel),
      locates: new Map(),
      subscriptions: new Set(),
    };
    members.add(peer);
    channel.sendEncoded(
      directory.welcome(
        {
          type: 'welcome',
          cluster: manifest.cluster.name,
          cidr: manifest.cluster.cidr,
          self: { name: entry?.name ?? name, ...self },
          host: entry,
          observed: channel.peer,
          observedPort: channel.peerPort,
          dataPort: relay.port,
          ports: range.ports,
        },
        directoryDigest,
      ),
    );
    return peer;
  };

  const joinAsHost = (host: Host, epoch: number, frame: Join) => {
    const who = { life: frame.life, guests: frame.guests ?? false };
    const refusal = sessions.admit(host, epoch, who);
    if (refusal) return refuse(refusal.reason, refusal.fenced);
    const { entry, nodeId } = host;
    const peer = enterAs(frame, entry.name, { address: entry.address, nodeId, epoch }, entry);
    standing = { role: 'host', peer, host };
    sessions.join(host, epoch, peer, {
      life: frame.life,
      ports: frame.ports,
      ...whereabouts(frame, entry.address),
    });
  };

  /** A member knows its NAT, but does not say where others punch to: it could name anybody. */
  const vouched = (nat: NatReport): NatReport => ({
    ...nat,
    reflexiveAddress: channel.peer,
    localAddress:
      isMeetingPlace(nat.localAddress) && nat.localAddress !== channel.local.address ? nat.localAddress : channel.peer,
    ports: range!.ports,
  });
  const addressesOf = (nat: NatReport | undefined): string[] => {
    if (!nat) return [channel.peer];
    const { reflexiveAddress: address, localAddress: local } = vouched(nat);
    return [...new Set([address, local])];
  };

  /** On network `flat` that follows from the virtual address. Elsewhere a member is behind a NAT, until it has found out otherwise. */
  const whereabouts = ({ nat }: Join, virtual: string): { readonly address?: string; readonly nat?: NatReport } => {
    if (flat !== undefined) return { address: formatAddress(aliasAddress(flat, parseAddress(virtual)!)) };
    const unknown = {
      kind: 'unknown',
      reflexiveAddress: channel.peer,
      localAddress: channel.peer,
      ports: range!.ports,
    } as const;
    return { nat: vouched(nat ?? unknown) };
  };

  const join = (frame: Join) => {
    clearTimeout(joinTimer);
    if (identity.kind === 'operator') return refuse("an operator's key does not join");
    const found = frame.host === undefined ? undefined : directory.find(frame.host);
    if (frame.host !== undefined && !found) return refuse(`there is no host '${frame.host}' in the cluster`);
    const host = found && hosts.get(found.host.name);
    if (identity.kind === 'host') {
      const named = host?.entry.name === identity.host && frame.epoch === identity.epoch && !frame.asClient;
      if (!host || !named) return refuse(`the key is for epoch ${identity.epoch} of '${identity.host}' only`);
      return joinAsHost(host, identity.epoch, frame);
    }
    if (host && frame.asClient) {
      const { entry, nodeId } = host;
      const peer = enterAs(frame, `${entry.name} (client)`, { address: entry.address, nodeId, epoch: 0 }, entry);
      standing = { role: 'client', peer, place: undefined };
      return;
    }
    if (host) {
      const { name, kind } = host.entry;
      if (kind !== 'instance')
        return refuse(`'${name}' is a function host: join as a client of its own, or under its name`);
      const latest = Math.max(host.lastEpoch, Date.now() + CLOCK_SKEW);
      if ((frame.epoch ?? 0) > latest) return refuse(`epoch ${frame.epoch} is to come; allowed: up to ${latest}`);
      return joinAsHost(host, frame.epoch ?? lifecycle.nextEpoch(host), frame);
    }
    const place = clients.admit(frame.virtual);
    if (!place) return refuse('all addresses for clients are in use');
    const { name, address, nodeId } = place;
    const peer = enterAs(frame, name, { address, nodeId, epoch: 0 });
    standing = { role: 'client', peer, place };
  };

  const ask = (peer: Peer, frame: Extract<ToSeed, { type: 'locate' }>) => {
    if (peer.locates.has(frame.id)) return refuse(`ask ${frame.id} is open already`);
    if (peer.locates.size >= MAX_ASKS) return refuse(`${peer.locates.size} asks are open already`);
    const found = directory.find(frame.host);
    const host = found && hosts.get(found.host.name);
    if (host) return waiters.locate(peer, host, frame.id, frame.port, frame.waited ?? 0, frame.protocol);
    const reason = `there is no host '${frame.host}' in the cluster`;
    channel.send({ type: 'unreachable', id: frame.id, errno: 'EHOSTUNREACH', reason });
  };

  const dispatch = (frame: ToSeed) => {
    if (frame.type === 'status' || frame.type === 'events' || frame.type === 'reload') {
      if (identity.kind !== 'operator') return refuse(`'${frame.type}' is for operators`);
      return operator.serve(channel, frame, closing.signal);
    }
    if (standing.role === 'gone') return;
    if (standing.role === 'new') {
      if (frame.type === 'join') return join(frame);
      return refuse(`'${frame.type}' came before 'join'`);
    }
    const { peer } = standing;
    const host = standing.role === 'host' ? standing.host : undefined;
    switch (frame.type) {
      case 'join':
        return refuse('has joined already');
      case 'locate':
        return ask(peer, frame);
      case 'cancel':
        return waiters.cancel(peer, frame.id);
      case 'peerMessage':
        return members.pass(peer, frame.to, frame.message);
      case 'relay':
        return relay.request(peer, frame.id, frame.to, frame.message);
      case 'natReport':
        peer.sender = { ...peer.sender, addresses: addressesOf(frame.nat) };
        return host && flat === undefined && sessions.natReport(host, peer, vouched(frame.nat));
      case 'ack': {
        const subject = hosts.get(frame.host);
        return subject && acknowledge(peer, subject, frame.version);
      }
      default:
        // A client is nobody's location: what it listens on and whether it is idle concerns nobody.
        return host && dispatchOfHost(host, peer, frame);
    }
  };

  const dispatchOfHost = (host: Host, peer: Peer, frame: FrameOfHost) => {
    switch (frame.type) {
      case 'ports':
        return sessions.ports(host, peer, frame.ports, frame.settled, frame.settledDatagrams);
      case 'report':
        return sessions.report(host, peer, frame.event, frame.detail);
      case 'suspend':
        return sessions.suspend(host, peer);
      case 'stay':
        return sessions.stay(host, peer);
      case 'leave':
        return sessions.leave(host, peer, frame);
      default:
        return frame satisfies never;
    }
  };

  return {
    onFrame: (raw: AnyFrame) => {
      const checked = checkFrame(raw);
      if ('problem' in checked) refuse(checked.problem);
      else dispatch(checked.frame);
    },
    onClose: (end: ChannelEnd) => {
      clearTimeout(joinTimer);
      closing.abort();
      if (end.error) log('warn', `lost ${claimed} at ${channel.peer}: ${end.error.message}`);
      const last = standing;
      standing = { role: 'gone' };
      if (last.role === 'new' || last.role === 'gone') return;
      members.remove(last.peer);
      range?.free();
      waiters.forget(last.peer);
      unsubscribeAll(last.peer);
      if (last.role === 'host') sessions.lost(last.host, last.peer, end.error?.message ?? 'closed');
      else last.place?.free();
    },
  };
}

/**
 * Blocks of private networks: members behind one address may be met there. Any other address is a member's own affair (127.0.0.0/8,
 * 169.254.0.0/16 with the platform's own services) or somebody else's, as the seed's.
 */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map((block) => parseCidr(block)!);

function isMeetingPlace(local: string): boolean {
  const address = parseAddress(local);
  return address !== undefined && PRIVATE.some((block) => inCidr(block, address));
}
