/**
 * A host that runs in this sandbox: its guest, and its membership of the network. It outlives the invocations that
 * started and resumed it.
 */
import type { ManifestHost } from '../../../contract/manifest/manifest';
import { createGuard, type Guard } from '../../control/guard';
import type { Welcome } from '../../control/index';
import { type Guest, type GuestExit, startGuest } from '../guest/guest';
import { ProgramError } from '../guest/program';
import { type Activity, watchActivity, watchStarting } from '../idle/activity';
import { busyNow, type Look } from '../idle/idleness';
import type { Log } from './log';
import { Member, type MemberSession } from './member';
import type { SandboxFiles, SupervisorSettings } from './settings';

export interface HostRunOptions extends SandboxFiles, Omit<SupervisorSettings, 'runDir' | 'nativeDir'> {
  readonly entry: ManifestHost;
  readonly welcome: Welcome;
  readonly seedPort: number;
  readonly log: Log;
}

const NOTHING: Activity = { cpu: 0, connections: 0, moved: false, queued: 0, closed: () => undefined, sockets: [] };

/** What cannot be looked at, for want of descriptors or memory, counts as busy: the next look is soon. */
const UNSEEN: Look = { ...NOTHING, pending: 1 };

export class HostRun {
  /** See `RunDir.life`. */
  readonly life: string;
  readonly entry: ManifestHost;
  /** Absent: the command could not be started; `exited` says why. */
  readonly guest?: Guest;
  readonly exited: Promise<GuestExit>;
  #ended = false;
  #activity: () => Activity = () => NOTHING;
  /** Datagrams of guests, as of the last look. */
  #traffic = 0;
  readonly #guard: Guard;

  /** Puts a host into the sandbox: first its network, then its guest. */
  static start(options: HostRunOptions, session: MemberSession): HostRun {
    let starting = (): boolean => false;
    const member = new Member({
      ...options,
      settleTime: options.entry.settleTime,
      starting: () => starting(),
      asClient: false,
    });
    member.attach(session);
    try {
      const guest = startGuest({ ...options, host: options.entry });
      starting = watchStarting(guest.processes);
      const report = { pid: guest.pid, command: options.entry.command!.join(' ') };
      options.log('info', 'the guest was started', report);
      session.report('guest-started', report);
      return new HostRun(options, member, guest);
    } catch (error) {
      if (error instanceof ProgramError) return new HostRun(options, member, error);
      member.close();
      throw error;
    }
  }

  private constructor(
    { entry, native, runDir, seedPort, log }: HostRunOptions,
    readonly member: Member,
    guest: Guest | ProgramError,
  ) {
    this.life = runDir.life;
    this.entry = entry;
    this.#guard = createGuard(log);
    if (guest instanceof ProgramError) {
      const { file, code, exitCode } = guest;
      const reason = `host '${entry.name}': ${guest.message}`;
      log('error', reason, { file, code });
      this.exited = Promise.resolve({ exitCode, signal: null, reason });
      this.#ended = true;
      return;
    }
    this.guest = guest;
    this.exited = guest.exited;
    this.#traffic = member.traffic();
    this.#activity = watchActivity({ processes: guest.processes, native, addresses: member.addresses, seedPort });
    void guest.exited.then(() => {
      this.#ended = true;
    });
  }

  /** `exited` has come about. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What the guests are doing, compared with the last look. Closed listeners are dropped. */
  look(): Look {
    let seen = UNSEEN;
    this.#guard('a look at the guests', () => {
      seen = this.#lookNow();
    });
    return { ...seen, closed: () => this.#lastClosed(seen) };
  }

  /** Whether something keeps the host from being suspended at this moment. */
  isBusy(): boolean {
    return !this.guest || busyNow(this.look(), this.entry.releasePolicy) !== undefined;
  }

  /** Stops the guests and gives back what the host used. */
  async end(grace: number): Promise<void> {
    this.#activity = () => NOTHING;
    await this.guest?.stop(grace);
    this.member.close();
  }

  #lookNow(): Look {
    const { listeners, locator, transports, resolver } = this.member;
    const now = this.#activity();
    listeners.check(now.sockets);
    const traffic = this.member.traffic();
    const datagrams = traffic !== this.#traffic;
    this.#traffic = traffic;
    return { ...now, datagrams, pending: locator.pending + transports.pending + resolver.pending };
  }

  #lastClosed(seen: Look): number | undefined {
    let closed: number | undefined = 0;
    this.#guard('a look at closed connections', () => {
      closed = seen.closed();
    });
    return closed;
  }
}
