/**
 * A host that runs in this sandbox: its guest, and its membership of the network. It outlives the invocations that
 * started and resumed it.
 */
import type { ManifestHost } from '../../../contract/manifest/manifest';
import type { CommandReport } from '../../../contract/platform/invocation';
import { createGuard, type Guard } from '../../control/guard';
import { BarrierError, type Parked, type Session, type Welcome } from '../../control/index';
import { nodeEnvironment } from '../files/node-files';
import { type Guest, type GuestExit, startGuest } from '../guest/guest';
import { ProgramError } from '../guest/program';
import { untilGivenUp, untilReady, watchLines } from '../guest/ready';
import { type Activity, watchActivity, watchStarting } from '../idle/activity';
import { nextDeadline } from '../idle/deadline';
import { busyNow, type Look } from '../idle/idleness';
import type { Log } from './log';
import { Member, type MemberSession } from './member';
import { runOwnCommand } from './own-command';
import type { SandboxFiles, SupervisorSettings } from './settings';
import { StartBarrier } from './start-barrier';

export interface HostRunOptions extends SandboxFiles, Omit<SupervisorSettings, 'runDir' | 'nativeDir'> {
  readonly entry: ManifestHost;
  readonly welcome: Welcome;
  readonly seedPort: number;
  readonly log: Log;
}

const NOTHING: Activity = {
  cpu: 0,
  connections: 0,
  moved: false,
  queued: 0,
  closed: () => undefined,
  holders: () => ({}),
  sockets: [],
};

/** What cannot be looked at, for want of descriptors or memory, counts as busy: the next look is soon. */
const UNSEEN: Look = { ...NOTHING, pending: 1 };

export class HostRun {
  /** See `RunDir.life`. */
  readonly life: string;
  /** The epoch as which it was started. */
  readonly born: number;
  readonly entry: ManifestHost;
  readonly exited: Promise<GuestExit>;
  readonly member: Member;
  #guest: Guest | undefined;
  #ended = false;
  readonly #healthWatch = new AbortController();
  /** While the guest's start waits. */
  #barrier: StartBarrier | undefined;
  #starting: () => boolean = () => false;
  #activity: (thorough: boolean) => Activity = () => NOTHING;
  /** Datagrams of guests, as of the last look. */
  #traffic = 0;
  #parked: Parked | undefined;
  readonly #guard: Guard;
  readonly #options: HostRunOptions;

  /** Puts a host into the sandbox: first its network, then its guest, as soon as its start barrier is met. */
  static start(options: HostRunOptions, session: MemberSession): HostRun {
    return new HostRun(options, session);
  }

  private constructor(options: HostRunOptions, session: MemberSession) {
    const { entry, runDir, welcome, log } = options;
    this.#options = options;
    this.life = runDir.life;
    this.born = welcome.self.epoch;
    this.entry = entry;
    this.#guard = createGuard(log);
    if (entry.startBarrier) this.#barrier = new StartBarrier(entry.startBarrier);
    this.member = new Member({
      ...options,
      settleTime: entry.settleTime,
      starting: () => this.#starting(),
      asClient: false,
      unpublished: entry.readyWhen.kind !== 'listening',
      onCoordination: (coordination) => this.#barrier?.use(coordination),
    });
    // First: while the guest begins, the answer about the NAT comes, so that its first connection need not wait for it.
    this.member.attach(session);
    if (this.#barrier) {
      this.exited = this.#startAtBarrier(this.#barrier);
      return;
    }
    try {
      this.exited = this.#startGuest();
    } catch (error) {
      this.member.close();
      throw error;
    }
  }

  /** Absent: its start waits at a barrier; or it could not be started, and `exited` says why. */
  get guest(): Guest | undefined {
    return this.#guest;
  }

  /** `exited` has come about. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Leaves the cluster, and keeps the connection for when the host is invoked again. */
  async park(session: Session, frame: Parameters<Session['park']>[0]): Promise<void> {
    const parked = await session.park(frame);
    // What is not acknowledged before the freeze is sent in vain, again and again, until the seed's kernel gives up.
    if (parked?.descriptor !== undefined) this.#options.native.acknowledge(parked.descriptor);
    this.#parked = parked;
  }

  /** The connection that was kept. Once. */
  takeParked(): Parked | undefined {
    const parked = this.#parked;
    this.#parked = undefined;
    return parked;
  }

  /** What the guests are doing, compared with the last look (see `watchActivity`). Closed listeners are dropped. */
  look(thorough = true): Look {
    const { text } = this.#barrier ?? {};
    if (text !== undefined) return { ...UNSEEN, holders: () => ({ connection: text }) };
    let seen = UNSEEN;
    this.#guard('a look at the guests', () => {
      seen = this.#lookNow(thorough);
    });
    return { ...seen, closed: () => this.#lastClosed(seen) };
  }

  /** Whether something keeps the host from being suspended at this moment. */
  isBusy(): boolean {
    return !this.guest || busyNow(this.look(), this.entry.releasePolicy) !== undefined || this.member.partners.waits();
  }

  /** Milliseconds until its guests want to run again by themselves, as far as is known. */
  nextDeadline(): number | undefined {
    let found: number | undefined;
    this.#guard("a look at the guests' timers", () => {
      const pids = this.guest?.processes.list().map(({ pid }) => pid) ?? [];
      found = nextDeadline(pids, this.entry.idleTimeout);
    });
    return found;
  }

  /**
   * Runs one of the host's own commands, for `timeout` milliseconds at most. Never rejects.
   * @returns undefined: the host has no such command, or its guest has ended
   */
  async command(
    command: CommandReport['command'],
    why: CommandReport['why'],
    timeout: number,
    signal?: AbortSignal,
  ): Promise<CommandReport | undefined> {
    const line = this.entry[command];
    if (!line || !this.guest || this.#ended) return undefined;
    const { log, write } = this.#options;
    const { place } = this.guest;
    return runOwnCommand({ host: this.entry.name, command, line, why, place, timeout, signal, log, write });
  }

  /** Stops the guests and gives back what the host used. */
  async end(grace: number): Promise<void> {
    this.#activity = () => NOTHING;
    this.#barrier?.close();
    this.#healthWatch.abort();
    this.takeParked()?.close();
    await this.guest?.stop(grace);
    this.member.close();
  }

  /** @returns how the guest ends, if it ever starts */
  async #startAtBarrier(barrier: StartBarrier): Promise<GuestExit> {
    const { entry, log } = this.#options;
    log('info', `the guest's start waits: ${barrier.text}`);
    try {
      await barrier.met;
      this.#barrier = undefined;
      return await this.#startGuest();
    } catch (error) {
      this.#barrier = undefined;
      this.#ended = true;
      const what = error instanceof BarrierError ? 'its start barrier is ' : '';
      const reason = `host '${entry.name}': ${what}${(error as Error).message}`;
      log('error', reason);
      return { exitCode: null, signal: null, reason };
    }
  }

  /** @returns how it ends. Throws what is not the program's fault. */
  #startGuest(): Promise<GuestExit> {
    const { entry, native, runDir, welcome, seedPort, log } = this.#options;
    const { member } = this;
    const { onLine, logged } = watchLines(entry);
    const node = nodeEnvironment(welcome.self, runDir.path);
    let guest: Guest;
    try {
      guest = startGuest({ ...this.#options, host: entry, node, onLine });
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
      const { file, code, exitCode, message } = error;
      const reason = `host '${entry.name}': ${message}`;
      log('error', reason, { file, code });
      this.#ended = true;
      return Promise.resolve({ exitCode, signal: null, reason });
    }
    this.#guest = guest;
    this.#starting = watchStarting(guest.processes);
    const report = { pid: guest.pid, command: entry.command!.join(' ') };
    log('info', 'the guest was started', report);
    member.reportEvent('guest-started', report);
    this.#traffic = member.traffic();
    this.#activity = watchActivity({
      processes: guest.processes,
      native,
      isDead: (socket) => member.peers.isDead(socket),
      addresses: member.addresses,
      nameOf: member.nameOf,
      seedPort,
    });
    void guest.exited.then(() => {
      this.#ended = true;
      this.#healthWatch.abort();
    });
    return this.#watchHealth(guest, logged, log);
  }

  /** Publishes the ports once the guest is ready, and ends a guest that does not live. @returns how it ends */
  async #watchHealth(guest: Guest, logged: Promise<void>, log: Log): Promise<GuestExit> {
    const { readyWhen, livenessCommand, livenessInterval: interval } = this.entry;
    const { signal } = this.#healthWatch;
    const { place } = guest;
    const began = performance.now();
    const ready = untilReady({
      readyWhen,
      place,
      ports: () => this.member.listeners.ports,
      logged,
      onNotReady: (reason) => {
        log('info', `the guest is not ready: ${reason}`);
        this.member.reportEvent('not-ready', { reason });
      },
      signal,
    });
    const published = ready.then(() => {
      if (readyWhen.kind === 'listening' || signal.aborted) return;
      const readyMs = Math.round(performance.now() - began);
      log('info', 'the guest is ready', { readyMs });
      this.member.reportEvent('ready', { readyMs });
      this.member.publishPorts();
    });
    if (!livenessCommand) return guest.exited;
    const givenUp = published.then(() => untilGivenUp({ command: livenessCommand, interval, place, signal }));
    const reason = await Promise.race([givenUp, guest.exited.then(() => undefined)]);
    if (reason === undefined) return guest.exited;
    log('error', `the guest is ended: ${reason}`);
    await guest.stop(this.entry.stopTimeout);
    return { exitCode: null, signal: 'SIGTERM', reason };
  }

  #lookNow(thorough: boolean): Look {
    const { listeners, locator, transports, resolver } = this.member;
    const now = this.#activity(thorough);
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
