/** How a supervisor joins as an epoch, and how it goes. */
import { isDeepStrictEqual } from 'node:util';
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Join, SessionEvent } from './events';
import { tcpPorts } from './expected';
import { wakeAt } from './own-start';
import { adopt, exited, lose, loseConnection, orderRelease, released, renew, replace, run, suspended } from './phases';
import { setPorts } from './ports';
import { type EpochSession, epochOf, type HostState, isEnding, sessionOf } from './state';
import type { Turn } from './turn';
import { dropFence } from './wake';

type Refusal = Omit<Extract<FromSeed, { type: 'refuse' }>, 'type'>;

/** Whether a supervisor may join as this epoch; if not, why. */
export function admit(state: HostState, join: Pick<Join, 'epoch' | 'life'>): Refusal | undefined {
  const { phase, minEpoch, lastEpoch, owner } = state;
  const { name, kind } = state.settings.entry;
  const { epoch, life } = join;
  const known = epochOf(state);
  const fenced = (how: string): Refusal => ({ reason: `epoch ${epoch} of '${name}' ${how}`, fenced: true });
  if (epoch < minEpoch) return fenced('has ended');
  if (phase.state === 'suspended' && phase.releasing && epoch === phase.epoch) return fenced('is being released');
  if (owner?.epoch === epoch && owner.life !== life) return fenced('belongs to another sandbox');
  if (known === null || epoch === known || phase.state === 'failed') return undefined;
  const first = kind === 'instance' ? sessionOf(state) : undefined;
  if (first?.peer !== undefined) {
    return { reason: `'${name}' has joined already: from ${seenAt(first)}, as epoch ${known}; end that one first` };
  }
  if (epoch > known) {
    if (replaces(state, epoch)) return undefined;
    // Of an allocation that was given up when an older epoch came back. Those of another seed are greater.
    if (epoch > lastEpoch || kind === 'instance') return undefined;
    return fenced(`is not needed: epoch ${known} is back`);
  }
  // The newer one has not joined, and is refused if it ever does: the older one that is there need not wait for it.
  if (phase.state === 'allocating' && !phase.session) return undefined;
  return { reason: `epoch ${known} of '${name}' is newer than ${epoch}`, fenced: true };
}

/** Whether the sandbox may join for its host's `onRelease`: it holds the epoch, which is being released. */
export function admitsRelease({ phase, owner }: HostState, { epoch, life }: Pick<Join, 'epoch' | 'life'>): boolean {
  if (phase.state !== 'suspended' || !phase.releasing || phase.epoch !== epoch) return false;
  return owner?.epoch !== epoch || owner.life === life;
}

/** After `admit` has allowed it, and the `welcome` was sent. */
export function onJoin(turn: Turn, join: Join) {
  const { member, epoch, life, born = epoch, address, ports, nat } = join;
  const { state, phase, session: before } = turn;
  const refusal = admit(state, join);
  if (refusal) return turn.do({ type: 'dismiss', member, reason: refusal.reason });
  const givenUp = state.doubt?.epoch === epoch;
  turn.set({
    minEpoch: Math.max(state.minEpoch, epoch),
    oldest: Math.max(state.oldest, Math.min(born, epoch)),
    owner: { epoch, life },
    doubt: undefined,
  });
  if (before && epochOf(state) === epoch) return rejoin(turn, before, join);
  const awaited = phase.state === 'allocating' && phase.epoch === epoch ? phase : undefined;
  const resumed = awaited?.resume === true;
  const session: EpochSession = {
    ...{ peer: member, address, nat, ports: [], settled: false },
    woken: resumed,
    expected: resumed ? tcpPorts(awaited!.had) : state.served,
  };
  if (awaited) {
    turn.enter({ ...awaited, session });
    const joinMs = Math.round(turn.moment.at - awaited.cause.since);
    turn.emit('joined', { epoch, address: seenAt(join), joinMs, resume: awaited.resume });
    setPorts(turn, ports, false);
    // It listened nowhere before either: nothing is missing.
    if (awaited.resume && awaited.had.length === 0) run(turn);
    return;
  }
  if (replaces(state, epoch)) {
    replace(turn, epoch, session);
    turn.emit('joined', { epoch, address: seenAt(join) });
    return setPorts(turn, ports, false);
  }
  turn.dismiss(`epoch ${epoch} has joined`);
  adopt(turn, epoch, session, givenUp);
  turn.emit('joined', { epoch, address: seenAt(join), adopted: true });
  setPorts(turn, ports, false);
}

/** The supervisor of this epoch has lost its connection, and has another one now. */
function rejoin(turn: Turn, before: EpochSession, { member, address, ports, nat }: Join): void {
  if (before.peer !== undefined) turn.do({ type: 'destroy', member: before.peer });
  // What was to find out whether it is there need not any more.
  if (turn.state.invocation?.throttled) turn.giveUp();
  turn.setSession({ peer: member, address, nat, lostAt: undefined, probeAt: undefined });
  turn.emit('rejoined', { epoch: turn.epoch, address: seenAt({ address, nat }) });
  const { phase } = turn;
  const moved = before.address !== address || !isDeepStrictEqual(before.nat, nat);
  const outdated = phase.state === 'running' && (moved || phase.fence !== undefined);
  if (phase.state === 'running' && !isEnding(turn.state)) turn.enter({ ...phase, fence: undefined });
  setPorts(turn, ports, false);
  if (outdated) turn.publish();
  orderRelease(turn);
}

export function onLeave(turn: Turn, frame: Extract<SessionEvent, { type: 'leave' }>['frame']) {
  const instance = turn.entry.kind === 'instance';
  turn.setSession({ peer: undefined });
  turn.set({ leftAt: turn.moment.at });
  switch (frame.outcome) {
    case 'suspended':
      // Nothing would resume a host without a function.
      if (instance) return released(turn, { note: 'it left as a host that is suspended' });
      suspended(turn);
      return frame.wakeIn === undefined ? undefined : wakeAt(turn, frame.wakeIn);
    case 'exited':
      return exited(turn, frame);
    case 'released':
      return released(turn);
    case 'fenced':
      return lose(turn, frame.reason ?? 'the sandbox belongs to a newer epoch');
    case 'renew':
      turn.setSession({ lostAt: turn.moment.at + turn.state.settings.lostAfter });
      // The invocation's own result starts the next one. A seed that was restarted has no such result to wait for.
      return instance || turn.state.invocation?.epoch === turn.epoch ? undefined : renew(turn);
    default:
      return frame.outcome satisfies never;
  }
}

export function onLost(turn: Turn, reason: string): void {
  turn.setSession({ peer: undefined });
  loseConnection(turn);
  turn.emit('disconnected', { epoch: turn.epoch, reason });
  // A granted suspension stands: its `leave` may be what was lost, and the invocation's result reports it.
  if (turn.phase.state === 'running' && turn.phase.fence?.stage === 'acks') dropFence(turn);
}

/** The supervisor has not come back in time. */
export function giveUp(turn: Turn): void {
  const reason = `its supervisor has not been heard of for ${turn.state.settings.lostAfter} ms`;
  if (turn.entry.kind === 'instance') released(turn, { note: reason });
  else lose(turn, reason);
}

/** The epoch that the open invocation gave to a sandbox which does not hold the host's: nobody else is the host. */
function replaces(state: HostState, epoch: number): boolean {
  const live = state.phase.state === 'allocating' || state.phase.state === 'running';
  return live && state.invocation?.fresh === epoch && sessionOf(state)?.peer === undefined;
}

function seenAt({ address, nat }: Pick<EpochSession, 'address' | 'nat'>): string | null {
  return address ?? nat?.reflexiveAddress ?? null;
}
