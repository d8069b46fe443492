/**
 * The life cycle of a host in one sandbox, invocation by invocation.
 *
 *   empty ──run──▶ joining ─▶ running ─▶ fencing ─▶ dormant (suspended, or between two invocations of a long life)
 *                     ▲          │          │ stay      │
 *                     │          │◀─────────┘           │
 *                     └──────────┼────────run───────────┘
 *                                ▼
 *                 exited, released or fenced: empty again
 */

import { hostIdentity } from '../../../contract/control/psk';
import type { Invocation, InvocationResult } from '../../../contract/platform/invocation';
import type { NativeAddon } from '../../../native/addon';
import { loadNative } from '../../../native/addon/load';
import { ControlError, openSession, type Session, type Welcome } from '../../control/index';
import { pskContext } from '../../control/tls-options';
import { findShim } from '../guest/environment';
import type { GuestExit } from '../guest/guest';
import { inspectCommand } from '../guest/program';
import { type Verdict, watchIdleness } from '../idle/idleness';
import { publicPorts } from '../sockets/listeners';
import { createMailbox, type Mailbox } from '../sockets/mailbox';
import { type Life, startLife } from './life';
import { createLog, type Log, type Write } from './log';
import { meeting } from './member';
import { openRunDir, type RunDir } from './run-dir';

export interface SupervisorSettings {
  readonly runDir: string;
  /** Network `flat`: the cluster's number N. */
  readonly flat?: number;
  /** What the function process has. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where `native.node` is; see `loadNative`. */
  readonly nativeDir?: string;
  /** Where the shims are; see `findShim`. */
  readonly shimDir?: string;
  /** Writes to the host's log. */
  readonly write: Write;
}

export interface Supervisor {
  /**
   * Does ahead what the first invocation would have to do: loads, makes files, runs once what is slow when it runs first. What fails
   * here fails again, and is told, in the invocation.
   */
  prepare(): void;
  /** @param remaining milliseconds that this invocation may still take */
  invoke(invocation: Invocation, remaining: () => number): Promise<InvocationResult>;
  /** The sandbox is being shut down: stops the guests; an invocation that is open returns. */
  shutdown(reason: string): Promise<void>;
  /** Ends the guests at once; for the last moment of the process. */
  kill(): void;
}

/** The supervisor cannot do what it was invoked for. The message reaches the operator as the function's error. */
export class SupervisorError extends Error {
  constructor(
    readonly code: 'busy' | 'wrong-host' | 'not-joined',
    message: string,
  ) {
    super(message);
    this.name = 'SupervisorError';
  }
}

type State =
  | { readonly is: 'empty' }
  | {
      readonly is: 'joining' | 'running' | 'fencing';
      readonly invocation: Invocation;
      readonly mailbox: Mailbox<Happening>;
    }
  | { readonly is: 'dormant'; readonly epoch: number; readonly life: Life };

/** What ends an invocation, or may end it. */
type Happening =
  | { readonly is: 'idle'; readonly verdict: Verdict }
  | { readonly is: 'exited'; readonly exit: GuestExit }
  | { readonly is: 'stopped'; readonly reason: string; readonly fenced: boolean }
  | { readonly is: 'deadline' }
  | { readonly is: 'shutdown'; readonly reason: string };

/** Guests that are told to end have this long before they are killed. */
const GRACE = 2_000;
/** The same when the platform shuts the sandbox down: it does not wait long. */
const SHUTDOWN_GRACE = 300;
/** Before the function's time is up it returns, to be invoked again: this long, or a quarter of its time if that is less. */
const RENEW_MARGIN = 2_000;
/** The seed has its own limit for what it does then (500 ms): one that is silent for so long is not there. */
const SUSPEND_LIMIT = 5_000;
/** A seed that is being restarted is waited for. */
const JOIN_LIMIT = 30_000;

interface Prepared {
  readonly native: NativeAddon;
  readonly runDir: RunDir;
}

export function createSupervisor(settings: SupervisorSettings): Supervisor {
  let state: State = { is: 'empty' };
  let current: Life | undefined;
  let finished: Promise<unknown> = Promise.resolve();
  let prepared: Promise<Prepared> | undefined;

  const run = async (invocation: Invocation, remaining: () => number): Promise<InvocationResult> => {
    const { host, epoch } = invocation;
    const mailbox = createMailbox<Happening>();
    const dormant = state.is === 'dormant' ? state : undefined;
    const log = createLog(host, settings.write);
    const found = dormant && (await revived(dormant, invocation, log));
    const ending = new AbortController();
    state = { is: 'joining', invocation, mailbox };
    try {
      const margin = Math.min(RENEW_MARGIN, remaining() / 4);
      const timeLeft = () => remaining() - margin;
      schedule(timeLeft(), () => mailbox.put({ is: 'deadline' }), ending.signal);
      const joined = await join(invocation, found, mailbox, log, remaining(), ending.signal);
      if ('refused' in joined) return await endAs('fenced', joined.refused, found, undefined, log, invocation, GRACE);
      const { session, life } = joined;
      current = life;
      void life.exited.then((exit) => mailbox.put({ is: 'exited', exit }));
      state = { is: 'running', invocation, mailbox };
      return await live({ invocation, mailbox, session, life, log, timeLeft, signal: ending.signal });
    } catch (error) {
      // A guest that runs stays with the sandbox; a later invocation finds it.
      if (!current) clear();
      else state = { is: 'dormant', epoch: dormant?.epoch ?? epoch, life: current };
      throw error;
    } finally {
      ending.abort();
    }
  };

  /** Joins, and puts the host into the sandbox unless it lives there already. */
  const join = async (
    invocation: Invocation,
    found: Life | undefined,
    mailbox: Mailbox<Happening>,
    log: Log,
    remaining: number,
    signal: AbortSignal,
  ): Promise<{ session: Session; life: Life } | { refused: string }> => {
    const { host, epoch, seed, secret } = invocation;
    const attempt = new AbortController();
    let life = found;
    const files = life ? undefined : await takePrepared(log);
    const ports = () => publicPorts(life?.member.listeners.ports ?? []);
    const who = () => ({ life: life?.name ?? files?.runDir.life, guests: life !== undefined });
    let session: (Session & { readonly welcome: Welcome }) | undefined;
    schedule(Math.min(JOIN_LIMIT, remaining / 2), () => !session && attempt.abort(), signal);
    const opening = openSession({
      seed,
      secret,
      identity: hostIdentity(host, epoch),
      join: () => ({ host, epoch, ...who(), ports: ports() }),
      onWelcome: (welcome) => {
        log('info', life ? 'rejoined the cluster' : 'joined the cluster', { cluster: welcome.cluster, epoch });
        if (session) life?.member.refresh();
      },
      onLocation: (location) => void life?.member.locations.apply(location),
      ...meeting(() => life?.member),
      ownPort: settings.flat === undefined,
      onDisconnect: () => life?.member.locations.forget(),
      onStop: (reason, fenced) => mailbox.put({ is: 'stopped', reason, fenced }),
      signal: attempt.signal,
      log,
    });
    try {
      session = await opening;
      const { welcome } = session;
      if (life) life.member.attach(session);
      else {
        const { host: entry } = welcome;
        if (!entry?.command) throw new SupervisorError('wrong-host', `to the seed '${host}' is not a function host`);
        const seedPort = Number(seed.slice(seed.lastIndexOf(':') + 1));
        life = startLife({ ...settings, ...files!, entry, welcome, seedPort, log }, session);
      }
      return { session, life };
    } catch (error) {
      attempt.abort();
      opening.catch(() => undefined);
      files?.runDir.remove();
      if (!(error instanceof ControlError)) throw error;
      if (error.code === 'fenced') return { refused: error.message };
      throw new SupervisorError('not-joined', `'${host}' could not join the cluster: ${error.message}`);
    }
  };

  /** A host whose guest ended after its invocation had returned is of no use any more. */
  const revived = async (
    { life, epoch }: { readonly life: Life; readonly epoch: number },
    { oldest = 0 }: Invocation,
    log: Log,
  ): Promise<Life | undefined> => {
    const outdated = epoch < oldest;
    if (!life.ended && !outdated) return life;
    if (outdated) log('warn', `guests of epoch ${epoch} are ended: a newer epoch has run elsewhere since`, { oldest });
    clear();
    await life.end(0);
    return undefined;
  };

  const takePrepared = async (log: Log): Promise<Prepared> => {
    const taken = prepared ?? prepareFiles();
    prepared = undefined;
    const { runDir } = await taken;
    const pids = runDir.stopped.join(' ');
    if (pids) log('warn', 'guests of a supervisor that died were stopped', { pids });
    return taken;
  };
  const prepareFiles = async (): Promise<Prepared> => {
    const native = loadNative(settings.nativeDir);
    return { native, runDir: await openRunDir(settings.runDir, native) };
  };

  interface Living {
    readonly invocation: Invocation;
    readonly mailbox: Mailbox<Happening>;
    readonly session: Session;
    readonly life: Life;
    readonly log: Log;
    /** Milliseconds until this invocation has to begin to end. */
    readonly timeLeft: () => number;
    readonly signal: AbortSignal;
  }

  /** From joined to the end of this invocation. */
  const live = async (living: Living): Promise<InvocationResult> => {
    const { invocation, mailbox, session, life, log, signal } = living;
    const watch = () => {
      if (!life.guest) return;
      const { idleTimeout, releasePolicy } = life.entry;
      watchIdleness(
        { idleTimeout, releasePolicy, look: life.look, onIdle: (v) => mailbox.put({ is: 'idle', verdict: v }) },
        signal,
      );
    };
    watch();
    for (;;) {
      const happening = await mailbox.take();
      switch (happening.is) {
        case 'exited':
          return exited(living, happening.exit);
        case 'stopped': {
          const outcome = happening.fenced ? 'fenced' : 'released';
          return endAs(outcome, happening.reason, life, undefined, log, invocation, GRACE);
        }
        case 'shutdown':
          return endAs('released', happening.reason, life, session, log, invocation, SHUTDOWN_GRACE);
        case 'deadline':
          log('info', "the function's time is nearly up: to be invoked again", {});
          return sleepAs('renew', living);
        case 'idle': {
          if (await mayRest(living, happening.verdict)) return sleepAs('suspended', living);
          watch();
        }
      }
    }
  };

  /**
   * The fence: the seed first tells every host that knows our location that it is no longer good, so that nobody connects
   * to a sandbox that is frozen. What came in until then keeps us here.
   */
  const mayRest = async (
    { invocation, mailbox, session, life, log, timeLeft }: Living,
    verdict: Verdict,
  ): Promise<boolean> => {
    state = { is: 'fencing', invocation, mailbox };
    try {
      const reply = await session.suspend(Math.max(0, Math.min(SUSPEND_LIMIT, timeLeft())));
      if (!reply.ok) {
        log('info', `idle, but not suspended: ${reply.reason ?? 'the seed said no'}`);
        return false;
      }
      if (mailbox.size > 0 || life.isNeeded()) {
        session.stay();
        log('info', 'idle, but not suspended: something came in meanwhile');
        return false;
      }
      log('info', `idle for ${life.entry.idleTimeout} ms: suspended`, { lastHeldBy: verdict.heldBy });
      return true;
    } finally {
      state = { is: 'running', invocation, mailbox };
    }
  };

  /** Leaves the cluster with guests that go on, or go on later. */
  const sleepAs = async (outcome: 'suspended' | 'renew', living: Living): Promise<InvocationResult> => {
    const { invocation, session, life } = living;
    const { host, epoch } = invocation;
    life.member.detach();
    await session.leave({ outcome });
    state = { is: 'dormant', epoch, life };
    return { host, epoch, outcome };
  };

  const exited = async ({ invocation, session, life, log }: Living, exit: GuestExit): Promise<InvocationResult> => {
    const { host, epoch } = invocation;
    const { exitCode, signal, reason } = exit;
    log(exitCode === 0 ? 'info' : 'error', 'the guest has ended', { exitCode, signal, reason });
    await life.end(0);
    clear();
    const why = reason ?? (signal ? `ended by ${signal}` : undefined);
    await session.leave({ outcome: 'exited', exitCode, reason: why });
    return { host, epoch, outcome: 'exited', exitCode, signal, reason };
  };

  const endAs = async (
    outcome: 'fenced' | 'released',
    reason: string,
    life: Life | undefined,
    session: Session | undefined,
    log: Log,
    { host, epoch }: Invocation,
    grace: number,
  ): Promise<InvocationResult> => {
    log('info', `stopping: ${reason}`, { outcome });
    await life?.end(grace);
    clear();
    await session?.leave({ outcome, reason });
    return { host, epoch, outcome, reason };
  };

  const clear = () => {
    state = { is: 'empty' };
    current = undefined;
  };

  const release = async (invocation: Invocation): Promise<InvocationResult> => {
    const { host, epoch } = invocation;
    const log = createLog(host, settings.write);
    if (state.is !== 'dormant') {
      // Guests of a supervisor that died in this sandbox are stopped by the one that takes its files.
      const { runDir } = await takePrepared(log);
      runDir.remove();
      return { host, epoch, outcome: 'released' };
    }
    return endAs('released', 'released by the seed', state.life, undefined, log, invocation, GRACE);
  };

  return {
    prepare: () => {
      if (prepared || state.is !== 'empty') return;
      try {
        const files = prepareFiles();
        prepared = files;
        files.catch(() => {
          if (prepared === files) prepared = undefined;
        });
        pskContext();
        findShim(inspectCommand([process.execPath]).libc, settings.shimDir);
      } catch {
        // the invocation will say it
      }
    },
    invoke: async (invocation, remaining) => {
      const { host, epoch, action } = invocation;
      if (state.is !== 'empty' && state.is !== 'dormant') {
        const { invocation: other } = state;
        throw new SupervisorError('busy', `this sandbox is busy with epoch ${other.epoch} of '${other.host}'`);
      }
      if (state.is === 'dormant') {
        const { life, epoch: held } = state;
        const { name } = life.entry;
        if (name !== host) throw new SupervisorError('wrong-host', `this sandbox holds '${name}', not '${host}'`);
        if (epoch < held) return { host, epoch, outcome: 'fenced', reason: `this sandbox holds epoch ${held}` };
      }
      const work = action === 'release' ? release(invocation) : run(invocation, remaining);
      finished = work.catch(() => undefined);
      return work;
    },
    shutdown: async (reason) => {
      if (state.is === 'dormant') {
        const { life } = state;
        clear();
        await life.end(SHUTDOWN_GRACE);
      } else if (state.is !== 'empty') {
        state.mailbox.put({ is: 'shutdown', reason });
        await finished;
      }
    },
    kill: () => current?.guest?.kill(),
  };
}

/** Calls `act` after that time, unless the signal is aborted first. */
function schedule(delay: number, act: () => void, signal: AbortSignal): void {
  const timer = setTimeout(act, Math.max(0, delay));
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
}
