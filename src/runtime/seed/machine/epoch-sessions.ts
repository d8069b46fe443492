import { isDeepStrictEqual } from 'node:util';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { PortMapping } from '../../../contract/control/location';
import type { ReportedEvent, ToSeed } from '../../../contract/control/to-seed';
import type { NatReport } from '../../../contract/peer/peer-messages';
import { publish, settledEverywhere } from '../locate/subscriptions';
import type { Waiters } from '../locate/waiters';
import type { Detail, EventLog } from '../operators/events';
import { noteListening, tcpPorts } from './expected';
import { type EpochSession, epochOf, type Host, type Peer, sessionOf, visiblePorts } from './host';
import type { Lifecycle } from './lifecycle';

type Leave = Extract<ToSeed, { type: 'leave' }>;
/** What a `join` says of where the host is. */
interface Whereabouts {
  readonly life?: string;
  readonly address?: string;
  readonly ports: readonly PortMapping[];
  readonly nat?: NatReport;
}
type Refuse = Omit<Extract<FromSeed, { type: 'refuse' }>, 'type'>;

/** The transitions of a host that its supervisor causes. What a supervisor says that is not the host's current one is ignored. */
export interface EpochSessions {
  /** Whether a supervisor may join as this epoch; if not, what it is told. */
  admit(host: Host, epoch: number, who: { readonly life?: string; readonly guests: boolean }): Refuse | undefined;
  /** After `admit`, and after its `welcome` was sent. */
  join(host: Host, epoch: number, peer: Peer, where: Whereabouts): void;
  ports(host: Host, peer: Peer, ports: readonly PortMapping[], settled: boolean, settledDatagrams?: boolean): void;
  natReport(host: Host, peer: Peer, reach: NatReport): void;
  report(host: Host, peer: Peer, event: ReportedEvent, detail: Detail): void;
  suspend(host: Host, peer: Peer): void;
  stay(host: Host, peer: Peer): void;
  leave(host: Host, peer: Peer, frame: Leave): void;
  /** Its control connection has ended without a `leave`. */
  lost(host: Host, peer: Peer, reason: string): void;
}

export interface EpochSessionsOptions {
  readonly lifecycle: Lifecycle;
  readonly waiters: Waiters;
  readonly events: EventLog;
  /** Milliseconds after which a lost control connection means a lost host. */
  readonly lostAfter: number;
  /** Milliseconds for which expected ports are waited for. */
  readonly expectLimit: number;
}

/** A peer that does not acknowledge a location within this time does not hold up a suspension. */
const ACK_LIMIT = 500;

/** Ports that began or ended to be listened on in one go, each of which is an event. Of more, their number is one. */
const MOST_LISTED = 16;

export function createEpochSessions(options: EpochSessionsOptions): EpochSessions {
  const { lifecycle, waiters, events, lostAfter, expectLimit } = options;
  const emit = (host: Host, event: string, detail?: Detail) => events.emit(host.entry.name, event, detail);
  const current = (host: Host, peer: Peer): EpochSession | undefined => {
    const session = sessionOf(host);
    return session?.peer === peer ? session : undefined;
  };

  const tell = (
    host: Host,
    event: string,
    epoch: number | null,
    ports: readonly PortMapping[],
    more: (port: PortMapping) => Detail = () => ({}),
  ) => {
    if (ports.length > MOST_LISTED) return events.emitSaid(host.entry.name, event, { epoch, ports: ports.length });
    for (const mapping of ports) {
      const { port, protocol } = mapping;
      events.emitSaid(host.entry.name, event, { epoch, port, ...more(mapping), ...(protocol && { protocol }) });
    }
  };

  const setPorts = (host: Host, session: EpochSession, ports: readonly PortMapping[], settled: boolean) => {
    const before = visiblePorts(session.ports);
    const after = visiblePorts(ports);
    session.ports = ports;
    session.settled = settled;
    noteListening(host, session, expectLimit, () => waiters.serve(host));
    const epoch = epochOf(host);
    const had = new Set(before.map(keyOf));
    const has = new Set(after.map(keyOf));
    const added = after.filter((p) => !had.has(keyOf(p)));
    const removed = before.filter((p) => !has.has(keyOf(p)));
    const named = new Set(after.map(nameOf));
    tell(host, 'listening', epoch, added, ({ realPort }) => ({ realPort }));
    tell(
      host,
      'listening-ended',
      epoch,
      removed.filter((p) => !named.has(nameOf(p))),
    );
    if (host.phase.state === 'allocating') {
      if (after.length > 0 || settled) lifecycle.run(host, session);
      return;
    }
    if (added.length + removed.length > 0) publish(host);
    waiters.serve(host);
  };

  const dropFence = (host: Host) => {
    if (host.phase.state !== 'running' || !host.phase.fence) return;
    host.phase.fence = undefined;
    publish(host);
    waiters.serve(host);
  };

  const startLostTimer = (host: Host, session: EpochSession) => {
    clearTimeout(session.lost);
    session.lost = setTimeout(() => {
      const reason = `its supervisor has not been heard of for ${lostAfter} ms`;
      if (host.entry.kind === 'instance') lifecycle.released(host, { note: reason });
      else lifecycle.fail(host, 'EHOSTUNREACH', reason);
    }, lostAfter);
  };

  const rejoin = (host: Host, session: EpochSession, peer: Peer, { address, ports, nat }: Whereabouts) => {
    // The old connection is dead even if its end was not noticed yet.
    session.peer?.channel.destroy();
    clearTimeout(session.lost);
    session.lost = undefined;
    session.peer = peer;
    session.renewing = false;
    const moved = session.address !== address || !isDeepStrictEqual(session.nat, nat);
    session.address = address;
    session.nat = nat;
    emit(host, 'rejoined', { epoch: epochOf(host), address: seenAt(session) });
    const { phase } = host;
    const outdated = phase.state === 'running' && (moved || phase.fence !== undefined);
    if (phase.state === 'running') phase.fence = undefined;
    setPorts(host, session, ports, false);
    if (outdated) publish(host);
  };

  const leave = (host: Host, frame: Leave) => {
    host.leftAt = performance.now();
    switch (frame.outcome) {
      case 'suspended':
        return lifecycle.suspended(host);
      case 'exited':
        return lifecycle.exited(host, frame);
      case 'released':
        return lifecycle.released(host);
      case 'fenced':
        return lifecycle.fail(host, 'EHOSTUNREACH', frame.reason ?? 'the sandbox belongs to a newer epoch');
      case 'renew':
        // The invocation's own result starts the next one. A seed that was restarted has no such result to wait for.
        startLostTimer(host, sessionOf(host)!);
        sessionOf(host)!.renewing = true;
        if (host.lifeline?.epoch !== epochOf(host)) lifecycle.renew(host);
    }
  };

  return {
    admit: (host, epoch, who) => {
      const { phase } = host;
      const known = epochOf(host);
      if (epoch < host.minEpoch) return { reason: `epoch ${epoch} of '${host.entry.name}' has ended`, fenced: true };
      if (phase.state === 'suspended' && phase.releasing && epoch === phase.epoch) {
        return { reason: `epoch ${epoch} of '${host.entry.name}' is being released`, fenced: true };
      }
      if (isAnother(host, epoch, who.life) && (who.guests || !mayReplace(host, epoch))) {
        return { reason: `epoch ${epoch} of '${host.entry.name}' belongs to another sandbox`, fenced: true };
      }
      if (known === null || epoch === known || phase.state === 'failed') return undefined;
      if (epoch > known) {
        // Of an allocation that was given up when an older epoch came back. Those of another seed are greater.
        if (epoch > host.lastEpoch || host.entry.kind === 'instance') return undefined;
        return { reason: `epoch ${epoch} of '${host.entry.name}' is not needed: epoch ${known} is back`, fenced: true };
      }
      // The newer one has not joined, and is told so if it ever does: who is there need not wait for it.
      if (phase.state === 'allocating' && !phase.session) return undefined;
      return { reason: `epoch ${known} of '${host.entry.name}' is newer than ${epoch}`, fenced: true };
    },

    join: (host, epoch, peer, where) => {
      const { address, ports, nat } = where;
      const { phase } = host;
      host.minEpoch = Math.max(host.minEpoch, epoch);
      const another = isAnother(host, epoch, where.life);
      host.owner = { epoch, life: where.life };
      const before = sessionOf(host);
      if (before && epochOf(host) === epoch && !another) return rejoin(host, before, peer, where);
      const resumed = phase.state === 'allocating' && phase.resume && phase.epoch === epoch && !another;
      const woken = another || resumed;
      const expected = new Set(resumed ? tcpPorts(phase.had) : host.served);
      const at = { peer, address, nat, lost: undefined };
      const session: EpochSession = { ...at, ports: [], settled: false, woken, expected };
      if (phase.state === 'allocating' && phase.epoch === epoch) {
        phase.session = session;
        const joinMs = Math.round(performance.now() - phase.cause.since);
        emit(host, 'joined', { epoch, address: seenAt(session), joinMs, resume: phase.resume });
        setPorts(host, session, ports, false);
        // It listened nowhere before either: nothing is missing.
        if (phase.resume && phase.had.length === 0 && host.phase === phase) lifecycle.run(host, session);
        return;
      }
      if (before?.peer) {
        before.peer.channel.send({ type: 'stop', reason: `epoch ${epoch} has joined`, fenced: true });
        void before.peer.channel.end();
        before.peer = undefined;
      }
      lifecycle.adopt(host, epoch, session);
      // The same epoch in a new sandbox: what others have of the old one leads nowhere.
      if (another) publish(host);
      emit(host, 'joined', { epoch, address: seenAt(session), adopted: true });
      setPorts(host, session, ports, false);
    },

    ports: (host, peer, ports, settled, settledDatagrams) => {
      const session = current(host, peer);
      if (!session) return;
      session.settledDatagrams = settledDatagrams;
      setPorts(host, session, ports, settled);
    },

    natReport: (host, peer, nat) => {
      const session = current(host, peer);
      if (!session || isDeepStrictEqual(session.nat, nat)) return;
      session.nat = nat;
      const { kind, reflexiveAddress: address, localAddress: local } = nat;
      events.emitSaid(host.entry.name, 'reachable', { epoch: epochOf(host), nat: kind, address, local });
      if (host.phase.state === 'running') publish(host);
    },

    report: (host, peer, event, detail) => {
      const session = current(host, peer);
      if (!session) return;
      // What the seed itself says of the event is not the member's to say.
      const own = { epoch: epochOf(host) };
      if (event !== 'guest-started' || !session.woken) {
        return events.emitSaid(host.entry.name, event, { ...detail, ...own });
      }
      // The platform gave a new sandbox: what was suspended is gone, and this is an allocation like any other.
      session.woken = false;
      session.expected &&= new Set(host.served);
      if (host.phase.state === 'allocating') host.phase.resume = false;
      host.allocations += 1;
      events.emitSaid(host.entry.name, event, { ...detail, ...own, newSandbox: true });
    },

    suspend: (host, peer) => {
      const session = current(host, peer);
      if (!session) return;
      const refuse = (reason: string) => peer.channel.send({ type: 'suspendReply', ok: false, reason });
      if (host.entry.kind === 'instance') return void refuse('a host instance is not suspended');
      if (host.waiters.size > 0) return void refuse(`${host.waiters.size} connections wait for this host`);
      // Its guest never listened, and is idle.
      if (host.phase.state === 'allocating') lifecycle.run(host, session, { listening: false });
      const { phase } = host;
      if (phase.state !== 'running' || phase.fence) return;
      const fence = { stage: 'acks' as 'acks' | 'granted' };
      phase.fence = fence;
      events.emitSaid(host.entry.name, 'suspending', { epoch: phase.epoch });
      publish(host);
      void settledEverywhere(host, ACK_LIMIT).then((missing) => {
        if (host.phase !== phase || phase.fence !== fence) return;
        if (missing > 0)
          events.emitSaid(host.entry.name, 'unacknowledged', {
            epoch: phase.epoch,
            peers: missing,
            waitedMs: ACK_LIMIT,
          });
        fence.stage = 'granted';
        peer.channel.send({ type: 'suspendReply', ok: true });
      });
    },

    stay: (host, peer) => {
      if (!current(host, peer)) return;
      if (host.phase.state === 'running' && host.phase.fence?.stage === 'granted') {
        events.emitSaid(host.entry.name, 'suspend-cancelled', { by: host.entry.name, port: null });
        dropFence(host);
      }
    },

    leave: (host, peer, frame) => {
      const session = current(host, peer);
      if (!session) return;
      session.peer = undefined;
      leave(host, frame);
    },

    lost: (host, peer, reason) => {
      const session = current(host, peer);
      if (!session) return;
      session.peer = undefined;
      emit(host, 'disconnected', { epoch: epochOf(host), reason });
      // A granted suspension stands: its `leave` may be what was lost, and the invocation's result says so.
      if (host.phase.state === 'running' && host.phase.fence?.stage === 'acks') dropFence(host);
      startLostTimer(host, session);
    },
  };
}

/** As the guest knows it. */
const nameOf = ({ port, protocol }: PortMapping) => `${port}/${protocol ?? 'tcp'}`;
const keyOf = (mapping: PortMapping) => `${nameOf(mapping)} ${mapping.realPort} ${mapping.scope}`;

/** Whether this epoch has joined before, from another sandbox or with other guests. */
function isAnother({ owner }: Host, epoch: number, life: string | undefined): boolean {
  return owner?.epoch === epoch && owner.life !== life;
}

/** An epoch goes to a new sandbox only where the platform was asked for a sandbox, and nobody has come. */
function mayReplace({ phase }: Host, epoch: number): boolean {
  if (phase.state === 'allocating') return phase.epoch === epoch && phase.resume && !phase.session;
  return phase.state === 'running' && phase.epoch === epoch && phase.session.renewing === true;
}

function seenAt({ address, nat }: EpochSession): string | null {
  return address ?? nat?.reflexiveAddress ?? null;
}
