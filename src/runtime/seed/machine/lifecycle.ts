import type { ConnectErrno } from '../../../contract/control/errno';
import type { Invocation, InvocationResult } from '../../../contract/platform/invocation';
import type { Invoke, InvokeOutcome } from '../allocator/lambda';
import { type Lifeline, openLifeline } from '../allocator/lifeline';
import type { Limits } from '../allocator/limits';
import { publish, publishEnd } from '../locate/subscriptions';
import type { Waiters } from '../locate/waiters';
import type { Detail, EventLog } from '../operators/events';
import {
  type Cause,
  type EpochSession,
  enter as enterPhase,
  epochOf,
  type Host,
  type Phase,
  sessionOf,
  visiblePorts,
} from './host';

export interface LifecycleOptions {
  readonly cluster: string;
  /** `address:port` under which host functions reach the seed. */
  readonly address: string;
  /** Pre-shared key for a host's epoch, base64. */
  readonly secretOf: (host: string, epoch: number) => string;
  readonly invoke: Promise<Invoke>;
  readonly events: EventLog;
  readonly waiters: Waiters;
  readonly limits: Limits;
  /** False while hosts of an earlier seed may still rejoin, and once the seed is being stopped. */
  readonly mayAllocate: () => boolean;
  /** A host function that an earlier seed started has joined this one. */
  readonly onReturn: () => void;
}

/** The transitions of a host that the seed makes by itself. Those that its supervisor causes are in `epoch-sessions.ts`. */
export interface Lifecycle {
  /** Somebody waits for the host: allocates or resumes it, where that is what it needs. */
  wake(host: Host, cause: Cause): void;
  /** As `wake`, if somebody waits; the first of them whose budget allows it is the cause. */
  wakeForWaiters(host: Host): void;
  /** An epoch that an earlier seed started (or that joined by itself) becomes the host's. */
  adopt(host: Host, epoch: number, session: EpochSession): void;
  /** The host can be connected to. */
  run(host: Host, session: EpochSession, detail?: Detail): void;
  suspended(host: Host): void;
  /** The guest ended by itself. */
  exited(host: Host, end: Pick<InvocationResult, 'exitCode' | 'signal' | 'reason'>): void;
  released(host: Host, detail?: Detail): void;
  fail(host: Host, errno: ConnectErrno, reason: string, detail?: Detail): void;
  /** The function's time is up: it is invoked again into the same sandbox. */
  renew(host: Host): void;
  nextEpoch(host: Host): number;
  /** Closes what is open. Hosts that run go on running. */
  close(host: Host): void;
}

const FIRST_BACK_OFF = 500;
const LAST_BACK_OFF = 30_000;
/** The request outlasts the function: its end is the function's own. */
const REQUEST_MARGIN = 30_000;
/** After its supervisor's last word an invocation returns within this time: before, the same epoch would get a second sandbox. */
const RETURN_LIMIT = 500;
const RELEASE_ATTEMPTS = 6;
/** What setTimeout can do: 24 days, longer than any platform keeps a sandbox. */
const MAX_TIMER = 2 ** 31 - 1;

export function lifecycle(options: LifecycleOptions): Lifecycle {
  const { events, waiters } = options;
  const emit = (host: Host, event: string, detail?: Detail) => events.emit(host.entry.name, event, detail);
  /** Host functions that cost: those that are allocated or run. */
  const costly = new Set<Host>();
  const enter = (host: Host, phase: Phase) => {
    enterPhase(host, phase);
    const costs = host.entry.kind === 'function' && (phase.state === 'allocating' || phase.state === 'running');
    if (costs) costly.add(host);
    else costly.delete(host);
  };
  const since = (start: number) => Math.round((performance.now() - start) * 10) / 10;

  const nextEpoch = (host: Host) => {
    host.lastEpoch = Math.max(host.lastEpoch + 1, Date.now());
    return host.lastEpoch;
  };

  const invoke = (host: Host, epoch: number, action: Invocation['action']) => {
    const { name, functionName, timeout } = host.entry;
    const lifeline: Lifeline = openLifeline({
      functionName: functionName!,
      invocation: {
        version: 1,
        cluster: options.cluster,
        host: name,
        epoch,
        oldest: host.minEpoch,
        action,
        seed: options.address,
        secret: options.secretOf(name, epoch),
      },
      limit: timeout + REQUEST_MARGIN,
      invoke: options.invoke,
      previous: host.lifeline,
      notBefore: epoch === epochOf(host) && host.lifeline?.epoch !== epoch ? host.leftAt + RETURN_LIMIT : 0,
      onSend: (attempt) => emit(host, 'invoked', { epoch, action, attempt }),
      onThrottled: (reason, attempt) => {
        emit(host, 'throttled', { epoch, action, attempt, reason });
        // What keeps the function busy is not ours. The next epoch fences it out.
        if (action !== 'release' || attempt < RELEASE_ATTEMPTS) return;
        lifeline.giveUp();
        released(host, { note: `its guests could not be stopped: ${reason}` });
      },
      onEnd: (outcome) => {
        if (host.lifeline === lifeline) host.lifeline = undefined;
        onLifelineEnd(host, lifeline, outcome);
      },
    });
    host.lifeline = lifeline;
  };

  const deadlineOf = (host: Host) => setTimeout(() => onDeadline(host), host.entry.allocationTimeout);

  const allocate = (host: Host, cause: Cause) => {
    const epoch = nextEpoch(host);
    const deadline = deadlineOf(host);
    enter(host, {
      state: 'allocating',
      epoch,
      cause,
      resume: false,
      had: [],
      deadline,
      session: undefined,
    });
    host.allocations += 1;
    emit(host, 'allocating', { by: cause.by, port: cause.port, epoch });
    invoke(host, epoch, 'run');
  };

  /** Counts what an ask costs. @returns false if that is too much; then the asker's waits for the host have ended */
  const affords = (host: Host, { by }: Cause) => {
    const excess = options.limits.take(by, costly.size);
    if (!excess) return true;
    const { limit, allowed, reason } = excess;
    const asks = waiters.failOf(host, by, 'ENOBUFS', `'${host.entry.name}' is not started: ${reason}`);
    const refused = options.limits.refused(by, asks);
    if (refused !== undefined) events.emit(host.entry.name, 'limited', { by, limit, allowed, refused, reason }, by);
    return false;
  };

  const wake = (host: Host, cause: Cause) => {
    const { phase, entry } = host;
    if (phase.state === 'imagined') {
      if (!options.mayAllocate()) return;
      if (entry.kind === 'function') return affords(host, cause) ? allocate(host, cause) : undefined;
      waiters.failAll(host, 'EHOSTUNREACH', `the host instance '${entry.name}' has not joined`);
    } else if (phase.state === 'suspended' && !phase.releasing) {
      if (!affords(host, cause)) return;
      const { epoch, had } = phase;
      const deadline = deadlineOf(host);
      enter(host, { state: 'allocating', epoch, cause, resume: true, had, deadline, session: undefined });
      emit(host, 'resuming', { by: cause.by, port: cause.port, epoch });
      invoke(host, epoch, 'run');
    } else if (phase.state === 'running' && phase.fence?.stage === 'acks') {
      phase.fence = undefined;
      publish(host);
      phase.session.peer?.channel.send({ type: 'suspendReply', ok: false, reason: `'${cause.by}' connects` });
      emit(host, 'suspend-cancelled', { by: cause.by, port: cause.port });
      waiters.serve(host);
    }
  };

  const wakeForWaiters = (host: Host) => {
    for (const waiter of [...host.waiters]) {
      const { peer, port, since } = waiter;
      if (!host.waiters.has(waiter)) continue;
      wake(host, { by: peer.name, port, since });
      // Where it waits on, the host comes for all of them. Else its asker had no budget left, and the next may have.
      if (host.waiters.has(waiter)) return;
    }
  };

  const run = (host: Host, session: EpochSession, detail: Detail = {}) => {
    const before = host.phase;
    const epoch = epochOf(host)!;
    enter(host, { state: 'running', epoch, session, fence: undefined });
    host.failures = 0;
    host.reason = undefined;
    if (before.state === 'allocating') {
      const took = since(before.cause.since);
      const cause = { by: before.cause.by, port: before.cause.port };
      if (before.resume) emit(host, 'resumed', { epoch, ...cause, resumeMs: took, ...detail });
      else {
        host.allocateMs = took;
        emit(host, 'running', { epoch, ...cause, allocateMs: took, ...detail });
      }
    }
    publish(host);
    waiters.serve(host);
  };

  const onDeadline = (host: Host) => {
    const { phase } = host;
    if (phase.state !== 'allocating') return;
    // It is up, and it listens nowhere: whoever waits for a port has a deadline of their own.
    if (phase.session) return run(host, phase.session, { listening: false });
    const why = host.lifeline?.throttled ? ': its function could not be started (429)' : '';
    fail(host, 'ETIMEDOUT', `did not join within ${host.entry.allocationTimeout} ms${why}`);
  };

  /** A supervisor that is connected although its epoch has ended: its sandbox may thaw any time, and would act for the host. */
  const dismiss = (host: Host, reason: string) => {
    const session = sessionOf(host);
    const peer = session?.peer;
    if (!session || !peer) return;
    session.peer = undefined;
    peer.channel.send({ type: 'stop', reason, fenced: true });
    void peer.channel.end();
  };

  /** The epoch has ended; nothing of it may come back. */
  const imagine = (host: Host) => {
    dismiss(host, `epoch ${epochOf(host)} has ended`);
    host.minEpoch = (epochOf(host) ?? host.lastEpoch) + 1;
    enter(host, { state: 'imagined' });
    publishEnd(host);
    wakeForWaiters(host);
  };

  const fail = (host: Host, errno: ConnectErrno, reason: string, detail: Detail = {}) => {
    const epoch = epochOf(host) ?? host.lastEpoch;
    const worst = Math.min(LAST_BACK_OFF, FIRST_BACK_OFF * 2 ** host.failures);
    const backOffMs = Math.round(worst * (0.75 + Math.random() / 4));
    host.failures += 1;
    host.reason = reason;
    host.lifeline?.giveUp();
    dismiss(host, reason);
    const retry = setTimeout(() => {
      enter(host, { state: 'imagined' });
      publishEnd(host);
    }, backOffMs);
    enter(host, { state: 'failed', epoch, errno, reason, retry });
    emit(host, 'failed', { epoch, errno, reason, backOffMs, ...detail });
    publishEnd(host);
    waiters.serve(host);
  };

  const suspended = (host: Host) => {
    const { phase } = host;
    const epoch = epochOf(host)!;
    const had = visiblePorts(sessionOf(host)?.ports ?? []);
    const ranMs = Math.round(performance.timeOrigin + performance.now() - host.stateSince);
    const release = setTimeout(() => releaseGuests(host), Math.min(host.entry.releaseTimeout, MAX_TIMER));
    // A supervisor that goes without asking first: others have not been told.
    const told = phase.state === 'running' && phase.fence !== undefined;
    enter(host, { state: 'suspended', epoch, had, release, releasing: false });
    emit(host, 'suspended', { epoch, ranMs });
    if (!told) publish(host);
    wakeForWaiters(host);
  };

  const releaseGuests = (host: Host) => {
    if (host.phase.state !== 'suspended') return;
    host.phase.releasing = true;
    emit(host, 'releasing', { epoch: host.phase.epoch });
    invoke(host, host.phase.epoch, 'release');
  };

  const released = (host: Host, detail: Detail = {}) => {
    emit(host, 'released', { epoch: epochOf(host), ...detail });
    imagine(host);
  };

  const exited = (host: Host, end: Pick<InvocationResult, 'exitCode' | 'signal' | 'reason'>) => {
    const { exitCode = null, signal = null } = end;
    const epoch = epochOf(host);
    const how = signal ? `was ended by ${signal}` : exitCode === null ? 'has ended' : `exited with code ${exitCode}`;
    // What a shell would say of a command that it cannot start, and why.
    const started = !(end.reason && (exitCode === 126 || exitCode === 127));
    const reason = `the guest ${started ? how : 'could not be started'}${end.reason ? `: ${end.reason}` : ''}`;
    emit(host, 'exited', { epoch, exitCode, signal, reason });
    const { state } = host.phase;
    host.minEpoch = (epoch ?? host.lastEpoch) + 1;
    if (state !== 'running' || exitCode !== 0) return fail(host, 'ECONNREFUSED', reason);
    host.reason = reason;
    waiters.failAll(host, 'ECONNREFUSED', reason);
    imagine(host);
  };

  const renew = (host: Host) => {
    const epoch = epochOf(host);
    if (epoch === null || !host.entry.functionName) return;
    emit(host, 'renewing', { epoch });
    const session = sessionOf(host);
    if (session && !session.peer) session.renewing = true;
    invoke(host, epoch, 'run');
  };

  const onLifelineEnd = (host: Host, lifeline: Lifeline, outcome: InvokeOutcome) => {
    const { phase } = host;
    if (lifeline.action === 'release') {
      if (phase.state !== 'suspended' || phase.epoch !== lifeline.epoch) return;
      return released(host, outcome.kind === 'result' ? {} : { note: describe(outcome) });
    }
    // Something newer has begun, or its supervisor has told the end already.
    const live = phase.state === 'allocating' || phase.state === 'running';
    if (!live || phase.epoch !== lifeline.epoch || host.lifeline) return;
    const fenced = outcome.kind === 'result' && outcome.result.outcome === 'fenced';
    if (outcome.kind === 'result' && !(fenced && sessionOf(host))) return onResult(host, outcome.result);
    const message = outcome.kind === 'result' ? 'it was answered by a second sandbox' : describe(outcome);
    const doubtful = outcome.kind === 'broken' || (outcome.kind === 'function-error' && lifeline.repeated);
    if (fenced || (doubtful && sessionOf(host)?.peer)) {
      // Only our request is gone: the host is connected (or will be given up), its `leave` will tell the end.
      return emit(host, 'lifeline-lost', { epoch: phase.epoch, reason: message });
    }
    // A function that has ended takes its epoch with it. Where that is not certain, it may still come back.
    if (outcome.kind === 'function-error') host.minEpoch = phase.epoch + 1;
    fail(host, 'EHOSTUNREACH', message, { error: outcome.kind === 'function-error' ? outcome.error : outcome.kind });
  };

  /** What the function returned, where its supervisor's `leave` did not get through. */
  const onResult = (host: Host, result: InvocationResult) => {
    switch (result.outcome) {
      case 'suspended':
        return suspended(host);
      case 'exited':
        return exited(host, result);
      case 'released':
        return released(host);
      case 'renew':
        return renew(host);
      case 'fenced':
        // The platform woke a sandbox that holds older guests, and those of this epoch are elsewhere: none of them is used any more.
        if (host.phase.state === 'allocating' && host.phase.resume) {
          return released(host, { note: 'the platform gave another sandbox than the one that was suspended' });
        }
        return fail(host, 'EHOSTUNREACH', 'the sandbox belongs to a newer epoch');
    }
  };

  return {
    wake,
    wakeForWaiters,
    adopt: (host, epoch, session) => {
      // A seed that was restarted has not counted it; a failed one that comes back after all was counted.
      if (host.phase.state === 'imagined') {
        host.allocations += 1;
        if (host.entry.kind === 'function') options.onReturn();
      }
      host.lifeline?.giveUp();
      host.lastEpoch = Math.max(host.lastEpoch, epoch);
      const cause = { by: host.entry.name, port: null, since: performance.now() };
      const deadline = deadlineOf(host);
      enter(host, { state: 'allocating', epoch, cause, resume: false, had: [], deadline, session: session });
    },
    run,
    suspended,
    exited,
    released,
    fail,
    renew,
    nextEpoch,
    close: (host) => {
      host.lifeline?.abandon();
      enter(host, { state: 'imagined' });
    },
  };
}

function describe(outcome: Exclude<InvokeOutcome, { kind: 'result' }>): string {
  switch (outcome.kind) {
    case 'function-error':
      return `the host function failed: ${outcome.error}: ${outcome.message}`;
    case 'throttled':
      return `the host function could not be started: ${outcome.reason}`;
    case 'broken':
      return `the invocation was lost: ${outcome.code}: ${outcome.message}`;
    case 'denied':
      return `the invocation was denied: ${outcome.code}: ${outcome.message}`;
  }
}
