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
import type { Invocation, InvocationResult } from '../../../contract/platform/invocation';
import { loadNative } from '../../../native/addon/load';
import type { Session } from '../../control/index';
import { pskContext } from '../../control/tls-options';
import { Mailbox } from '../../mailbox';
import { endGuests, stop } from './ending';
import type { HostRun } from './host-run';
import { type Event, fencedBy, runInvocation, schedule } from './invocation';
import { join, joinToRelease } from './join';
import { createLog, type Log } from './log';
import { openRunDir } from './run-dir';
import { type SandboxFiles, SupervisorError, type SupervisorSettings } from './settings';

/**
 * Before the function's time is up it returns, to be invoked again: this long, or a quarter of its time if that is
 * less.
 */
const RENEW_MARGIN = 2_000;
/** Milliseconds that the platform gives a sandbox that it shuts down. */
const SHUTDOWN_LIMIT = 1_400;
/** A seed that is being restarted is waited for. */
const JOIN_LIMIT = 30_000;
/** For the network of an `onRelease`, which can do without. */
const RELEASE_JOIN_LIMIT = 2_000;

export class Supervisor {
  readonly #settings: SupervisorSettings;
  /** The host that runs in the sandbox, and the epoch that it runs as. */
  #present: { readonly host: HostRun; readonly epoch: number } | undefined;
  /** The invocation that has not returned. */
  #open:
    | { readonly invocation: Invocation; readonly events: Mailbox<Event>; readonly result: Promise<unknown> }
    | undefined;
  #prepared: Promise<SandboxFiles> | undefined;
  /** The sandbox has been invoked: nothing is done ahead any more. */
  #invoked = false;

  constructor(settings: SupervisorSettings) {
    this.#settings = settings;
  }

  /**
   * Does ahead what the first invocation would have to do: loads, makes files. Nothing more: an invocation waits
   * already where a sandbox is started on demand. What fails here fails again, and is reported, in the invocation.
   */
  prepare(): void {
    if (this.#prepared || this.#invoked) return;
    const files = this.#openFiles();
    this.#prepared = files;
    files.catch(() => {
      if (this.#prepared === files) this.#prepared = undefined;
    });
    try {
      pskContext();
    } catch {
      // the invocation will report it
    }
  }

  /** @param remaining milliseconds that this invocation may still take */
  async invoke(asked: Invocation, remaining: () => number): Promise<InvocationResult> {
    this.#invoked = true;
    if (this.#open) {
      const { invocation: other } = this.#open;
      throw new SupervisorError('busy', `this sandbox is busy with epoch ${other.epoch} of '${other.host}'`);
    }
    const invocation = this.#taken(asked);
    const { host, epoch, action } = invocation;
    if (this.#present) {
      const { host: present, epoch: held } = this.#present;
      const { name } = present.entry;
      if (name !== host) throw new SupervisorError('wrong-host', `this sandbox holds '${name}', not '${host}'`);
      if (epoch < held) return { host, epoch, outcome: 'fenced', held, reason: `this sandbox holds epoch ${held}` };
    }
    const events = new Mailbox<Event>();
    const log = createLog(host, this.#settings.write);
    const work =
      action === 'run' ? this.#run(invocation, remaining, events, log) : this.#end(invocation, remaining, log);
    this.#open = { invocation, events, result: work.catch(() => undefined) };
    try {
      return await work;
    } finally {
      this.#open = undefined;
    }
  }

  /** The sandbox is being shut down: stops the guests; an invocation that is open returns. */
  async shutdown(reason: string): Promise<void> {
    if (this.#open) {
      this.#open.events.put({ is: 'shutdown', reason });
      await this.#open.result;
    }
    const host = this.#present?.host;
    this.#present = undefined;
    if (host) await endGuests(host, 'shutdown', () => SHUTDOWN_LIMIT);
  }

  /** Ends the guests at once; for the last moment of the process. */
  kill(): void {
    this.#present?.host.guest?.kill();
  }

  async #run(
    invocation: Invocation,
    remaining: () => number,
    events: Mailbox<Event>,
    log: Log,
  ): Promise<InvocationResult> {
    const ending = new AbortController();
    const { signal } = ending;
    try {
      const found = await this.#revived(invocation, log);
      const timeLeft = untilMargin(remaining);
      schedule(timeLeft(), () => events.put({ is: 'deadline' }), signal);
      const limit = Math.min(JOIN_LIMIT, remaining() / 2);
      const present = found ?? (() => this.#takeFiles(log));
      const joining = join(present, this.#settings, { invocation, events, log, limit, signal });
      // Once the seed has been told: what waits for this host waits for that.
      found?.member.partners.thawed();
      const joined = await joining;
      let result: InvocationResult;
      if ('refused' in joined) {
        result = await stop({ host: found, invocation, log, timeLeft }, fencedBy(joined.refused));
      } else {
        const { host } = joined;
        // If this invocation fails, a guest that runs stays with the sandbox; a later invocation finds it.
        this.#present ??= { host, epoch: invocation.epoch };
        void host.exited.then((exit) => events.put({ is: 'exited', exit }));
        result = await runInvocation({ invocation, events, ...joined, log, timeLeft, signal });
      }
      const stays = result.outcome === 'suspended' || result.outcome === 'renew';
      this.#present = stays && 'host' in joined ? { host: joined.host, epoch: invocation.epoch } : undefined;
      return result;
    } finally {
      ending.abort();
    }
  }

  /** The invocation as this sandbox takes it: with a fresh epoch, if it does not hold the one that is to go on. */
  #taken(asked: Invocation): Invocation {
    const { epoch, fresh } = asked;
    const held = this.#present && !this.#present.host.ended ? this.#present.epoch : 0;
    if (!fresh || held >= epoch) return asked;
    return { ...asked, ...fresh, fresh: undefined, oldest: fresh.epoch };
  }

  /**
   * The host that runs here. One whose guest has ended after its invocation had returned, or whose epoch has ended, is
   * ended.
   */
  async #revived({ oldest = 0 }: Invocation, log: Log): Promise<HostRun | undefined> {
    if (!this.#present) return undefined;
    const { host, epoch } = this.#present;
    const outdated = epoch < oldest;
    if (!host.ended && !outdated) return host;
    if (outdated) log('warn', `guests of epoch ${epoch} are ended: a newer epoch has run elsewhere since`, { oldest });
    this.#present = undefined;
    await host.end(0);
    return undefined;
  }

  /** Ends the guests. Those of a host that has another sandbox may be in a third one. */
  async #end(invocation: Invocation, remaining: () => number, log: Log): Promise<InvocationResult> {
    const { host, epoch, action } = invocation;
    if (!this.#present) {
      if (action === 'drain') return { host, epoch, outcome: 'released' };
      // Guests of a dead supervisor are stopped by the one that takes the files.
      const { runDir } = await this.#takeFiles(log);
      runDir.remove();
      return { host, epoch, outcome: 'released' };
    }
    const ending = { host: this.#present.host, invocation, log, timeLeft: untilMargin(remaining) };
    const released = { outcome: 'released', why: 'released', reason: 'released by the seed' } as const;
    const drained = { outcome: 'released', why: 'replaced', reason: 'the host has another sandbox' } as const;
    const session = action === 'release' ? await this.#network(this.#present.host, invocation, log) : undefined;
    try {
      const result = await stop(ending, action === 'drain' ? drained : released);
      this.#present = undefined;
      return result;
    } finally {
      session?.close();
    }
  }

  /** A suspended host's command is to reach the cluster: without a command nobody has to join. */
  async #network(host: HostRun, invocation: Invocation, log: Log): Promise<Session | undefined> {
    if (!host.entry.onRelease || host.ended) return undefined;
    host.member.partners.thawed();
    return joinToRelease(host, this.#settings, { invocation, log, limit: RELEASE_JOIN_LIMIT });
  }

  async #takeFiles(log: Log): Promise<SandboxFiles> {
    const files = this.#prepared ?? this.#openFiles();
    this.#prepared = undefined;
    const pids = (await files).runDir.stopped.join(' ');
    if (pids) log('warn', 'guests of a supervisor that died were stopped', { pids });
    return files;
  }

  async #openFiles(): Promise<SandboxFiles> {
    const native = loadNative(this.#settings.nativeDir);
    return { native, runDir: await openRunDir(this.#settings.runDir, native) };
  }
}

/** Milliseconds until an invocation has to begin to return. */
function untilMargin(remaining: () => number): () => number {
  const margin = Math.min(RENEW_MARGIN, remaining() / 4);
  return () => remaining() - margin;
}
