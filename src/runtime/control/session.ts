import type { FromSeed } from '../../contract/control/from-seed';
import { unpackDirectory } from '../../contract/control/packed-directory';
import type { HeldBy, ReportedEvent, ToSeed } from '../../contract/control/to-seed';
import { parseAddress } from '../../contract/manifest/address';
import type { NatReport, Observation, PeerMessage, Recipient } from '../../contract/peer/peer-messages';
import { pause } from '../pause';
import {
  type Control,
  ControlError,
  openControl,
  type SeedAccess,
  type SeedEndpoint,
  STANDBY_HEARTBEAT,
} from './connection';
import { connectToFirst } from './endpoints';
import { type Located, LocateError, type LocateOptions, Locates } from './locates';
import { Relays } from './relays';
import type {
  FrameOf,
  LeaveFrame,
  PortsFrame,
  ReportDetail,
  SessionOptions,
  SuspendReply,
  Welcome,
} from './session-options';

const FIRST_RETRY = 50;
/** With the jitter less than a seed's grace time: hosts that were running are back before a host is allocated anew. */
const LAST_RETRY = 1_000;
const KEPT_REPORTS = 100;
/** A member that leaves has an invocation to end in time. */
const LEAVE_LIMIT = 500;
/** Longer than the seed waits for members that know this host. */
const SUSPEND_LIMIT = 5_000;

/**
 * Joins the cluster and stays joined until `leave`, `close`, the signal, or the seed's `stop`.
 * @throws ControlError when the first join does not succeed: at once when the seed says no, after the signal's abort
 * when it cannot
 * be reached
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const session = new Session(options);
  await session.connectUntilJoined();
  return session;
}

/** A supervisor's place in the cluster: joins, and joins again when the connection or the seed is lost. */
export class Session {
  readonly #locates: Locates;
  readonly #relays = new Relays((frame) => this.#send(frame));
  #held: FrameOf<ToSeed, 'held'> | undefined;
  readonly #reports: Array<FrameOf<ToSeed, 'report'>> = [];
  readonly #ended = new AbortController();
  readonly #signal: AbortSignal;
  /** As the seed renewed it last. */
  #secret: SeedAccess['secret'];
  /** Of two, the one that served last comes first. */
  #seeds: readonly SeedEndpoint[];
  #control: Control | undefined;
  /** True between `welcome` and the end of the connection. */
  #joined = false;
  #welcome: Welcome | undefined;
  #suspending: ((reply: SuspendReply) => void) | undefined;
  #lostTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SessionOptions) {
    const { seed, path, standby } = options;
    this.#seeds = [{ seed, path }, ...(standby ? [standby] : [])];
    this.#secret = options.secret;
    this.#locates = new Locates((frame) => this.#joined && void this.#control?.send(frame));
    this.#signal = options.signal ? AbortSignal.any([options.signal, this.#ended.signal]) : this.#ended.signal;
    options.signal?.addEventListener('abort', () => this.#end('the session was ended'), { once: true });
  }

  get connected(): boolean {
    return this.#joined;
  }

  get welcome(): Welcome {
    return this.#welcome!;
  }

  get #addresses(): string {
    return this.#seeds.map(({ seed }) => seed).join(' and ');
  }

  /** How the present connection is seen from both ends; undefined without one. */
  get observation(): Observation | undefined {
    if (!this.#control || !this.#welcome) return undefined;
    const { local, peer } = this.#control;
    const { observed, observedPort, dataPort, ports } = this.#welcome;
    return {
      local,
      observed: { address: observed, port: observedPort },
      dataPort: { address: peer, port: dataPort },
      ports,
    };
  }

  /**
   * Where `host`:`port` is, once it listens; allocates the host if need be. Kept through a lost connection. @throws
   * LocateError
   */
  locate(host: string, port: number, options?: LocateOptions): Promise<Located> {
    return this.#locates.add(host, port, options);
  }

  /** All ports the guests listen on now. Without a connection nothing is lost: the next join carries them. */
  ports(ports: PortsFrame['ports'], settled: boolean, settledDatagrams?: boolean): void {
    this.#send({ type: 'ports', ports, settled, settledDatagrams });
  }

  /** There are connections with that epoch (0: with that client): its end is sent. Without a connection nothing happens. */
  watch(host: string, epoch: number): void {
    this.#send({ type: 'watch', host, epoch });
  }

  /** Bytes wait for that epoch, which is suspended. Without a connection nothing happens: they go on waiting. */
  data(host: string, epoch: number): void {
    this.#send({ type: 'data', host, epoch });
  }

  /** Nothing gets through on the present connection: another one is made. */
  reconnect(reason: string): void {
    if (this.#joined) this.#control?.dead(reason);
  }

  /** Reports the NAT. Without a connection nothing happens: the next join is for that. */
  reportNat(nat: NatReport): void {
    this.#send({ type: 'natReport', nat });
  }

  /** Sends a message to another member. False: there is no connection to the seed. */
  sendPeerMessage(to: Recipient, message: PeerMessage): boolean {
    return this.#send({ type: 'peerMessage', to, message });
  }

  /**
   * Asks for a connection to another member through the seed's data port.
   * @returns the token (base64) to connect to the data port with
   * @throws LocateError
   */
  relay(to: Recipient, message: PeerMessage): Promise<string> {
    return this.#relays.ask(to, message);
  }

  /** Reports an event for operators. Kept (the last 100) until there is a connection. */
  report(event: ReportedEvent, detail: ReportDetail = {}): void {
    const frame = { type: 'report', event, detail } as const;
    if (this.#send(frame)) return;
    this.#reports.push(frame);
    if (this.#reports.length > KEPT_REPORTS) this.#reports.shift();
  }

  /** Says what keeps the host from being idle: to this seed, and to the next. It may stay so for long. */
  held(by: HeldBy, what?: string): void {
    this.#held = { type: 'held', by, what };
    this.#send(this.#held);
  }

  /**
   * Asks to be suspended. `ok`: no other host believes any longer that this one can be reached. Not `ok` without a
   * connection, nor when the seed has not answered after `limit` ms: the path to it may be dead without a sign.
   */
  suspend(limit = SUSPEND_LIMIT): Promise<SuspendReply> {
    return new Promise((resolve) => {
      if (!this.#joined) return resolve({ ok: false, reason: 'there is no connection to the seed' });
      const timer = setTimeout(() => {
        this.#suspending?.({ ok: false, reason: `the seed did not answer within ${limit} ms` });
        // The seed's answer may have been yes. Over a dead connection nothing takes that back: joining again does.
        this.#control?.destroy();
      }, limit);
      this.#suspending = (reply) => {
        this.#suspending = undefined;
        clearTimeout(timer);
        resolve(reply);
      };
      this.#control?.send({ type: 'suspend' });
    });
  }

  /** After a `suspend` that was ok: a connection has come in meanwhile. */
  stay(): void {
    this.#control?.send({ type: 'stay' });
  }

  /** Sends a good-bye and closes. Ends the session. */
  async leave(frame: Omit<LeaveFrame, 'type'>): Promise<void> {
    const last = this.#control;
    const sent = this.#send({ type: 'leave', ...frame });
    this.#joined = false;
    if (sent) await last?.end(LEAVE_LIMIT);
    this.#end('the session was ended');
  }

  /** Ends the session without a frame. Open locates fail. */
  close(): void {
    const last = this.#control;
    this.#end('the session was ended');
    last?.destroy();
  }

  async connectUntilJoined(): Promise<void> {
    for (let delay = FIRST_RETRY; ; delay = Math.min(delay * 2, LAST_RETRY)) {
      try {
        return await this.#joinOnce();
      } catch (error) {
        if (!(error instanceof ControlError) || error.code !== 'unreachable' || this.#signal.aborted) throw error;
        this.#logUnreachable(error);
      }
      await pause(delay * (0.5 + Math.random()), this.#signal);
    }
  }

  /** One connection, from join to welcome. */
  #joinOnce(): Promise<void> {
    const { join } = this.options;
    return new Promise((resolve, reject) => {
      const connect = (endpoint: SeedEndpoint, signal: AbortSignal) =>
        this.#connect(
          endpoint,
          signal,
          (control, welcome) => resolve(this.#onWelcome(control, endpoint, welcome)),
          reject,
        );
      const [only, ...others] = this.#seeds;
      const onFailure = (error: ControlError) => this.#logUnreachable(error);
      const opening =
        others.length === 0
          ? connect(only, this.#signal)
          : connectToFirst({ endpoints: this.#seeds, signal: this.#signal, onFailure }, connect);
      opening
        .then((opened) => {
          const { self, host, directoryDigest } = this.#welcome ?? {};
          // A client keeps the address that it got with its first join.
          const keep = self && !host ? { virtual: self.address } : {};
          opened.send({ type: 'join', ...keep, ...join(), directoryDigest });
        })
        .catch(reject);
    });
  }

  /** @param refused is called, too, when the connection is lost before the welcome */
  async #connect(
    { seed, path }: SeedEndpoint,
    signal: AbortSignal,
    welcomed: (control: Control, welcome: FrameOf<FromSeed, 'welcome'>) => void,
    refused: (error: ControlError) => void,
  ): Promise<Control> {
    const { source } = this.options;
    let fresh: Control | undefined;
    fresh = await openControl({
      ...this.options,
      ...{ seed, path, signal },
      secret: this.#secret,
      heartbeat: this.#seeds.length > 1 ? STANDBY_HEARTBEAT : undefined,
      source: typeof source === 'function' ? source() : source,
      onFrame: (frame) => {
        if (frame.type === 'welcome') welcomed(fresh!, frame);
        else if (frame.type === 'refuse') {
          refused(new ControlError(frame.fenced ? 'fenced' : 'refused', frame.reason, seed));
        } else this.#onFrame(frame);
      },
      onClose: ({ error }) => {
        // The other seed was first.
        if (signal.aborted && !this.#signal.aborted) return;
        const why = error?.message ?? 'it closed the connection';
        refused(new ControlError('unreachable', `the seed at ${seed} was lost: ${why}`, seed));
        if (this.#control === fresh && this.#joined) this.#onLost(error?.message ?? 'closed by the seed');
      },
    });
    return fresh;
  }

  #logUnreachable({ message, seed }: ControlError): void {
    this.options.log?.('info', message, { seed });
  }

  #onWelcome(control: Control, endpoint: SeedEndpoint, frame: FrameOf<FromSeed, 'welcome'>): void {
    // A seed leaves the directory out only for a member that has it.
    const directory = frame.directory === undefined ? this.welcome.directory : unpackDirectory(frame.directory);
    if (parseAddress(frame.self.address) === undefined) throw new Error('the seed gave no address');
    clearTimeout(this.#lostTimer);
    this.#useStandby(control, endpoint, frame.standby);
    this.#control = control;
    this.#joined = true;
    this.#welcome = { ...frame, directory };
    // Locates that `onWelcome` adds are sent by themselves: sent twice, they would end the connection.
    const sendAgain = this.#locates.reachable();
    this.options.onWelcome?.(this.#welcome);
    for (const report of this.#reports.splice(0)) control.send(report);
    if (this.#held) control.send(this.#held);
    sendAgain();
  }

  /** What the seed says of the other one holds from now on: a standby may be new, or may have been given up. */
  #useStandby(control: Control, endpoint: SeedEndpoint, standby: FrameOf<FromSeed, 'welcome'>['standby']): void {
    const known = this.#seeds.find(({ seed }) => seed === standby?.seed);
    this.#seeds = [endpoint, ...(standby ? [known ?? { seed: standby.seed }] : [])];
    control.expectEvery(standby?.heartbeat);
  }

  #onLost(reason: string): void {
    const { log, onDisconnect, onStop, unreachableAfter = 15_000 } = this.options;
    const [{ seed }] = this.#seeds;
    const lost = 'the connection to the seed was lost';
    this.#joined = false;
    this.#control = undefined;
    this.#suspending?.({ ok: false, reason: lost });
    this.#relays.fail(lost);
    if (this.#signal.aborted) return;
    log?.('warn', `lost the connection to the seed: ${reason}`, { seed });
    onDisconnect?.();
    this.#lostTimer = setTimeout(
      () => this.#locates.unreachable(`the seed at ${this.#addresses} cannot be reached`),
      unreachableAfter,
    );
    this.connectUntilJoined().catch((error: ControlError) => {
      this.#end(error.message);
      if (error.code !== 'aborted') onStop(error.message, error.code === 'fenced');
    });
  }

  #onFrame(frame: Exclude<FromSeed, { type: 'welcome' | 'refuse' }>) {
    const { onLocation, onPeerMessage, onUndeliverable, onRelayed, onStop, log } = this.options;
    const [{ seed }] = this.#seeds;
    switch (frame.type) {
      case 'located':
        return this.#locates.settle(frame.id, { location: frame.location, realPort: frame.realPort });
      case 'unreachable':
        return this.#locates.settle(frame.id, new LocateError(frame.errno, frame.reason));
      case 'location':
        onLocation(frame.location);
        this.#control?.send({ type: 'ack', host: frame.location.host, version: frame.version });
        return;
      case 'clientGone':
        return this.options.onClientGone?.(frame.client);
      case 'peerMessage':
        return onPeerMessage?.(frame.from, frame.message);
      case 'undeliverable':
        return onUndeliverable?.(frame.to, frame.id, frame.reason);
      case 'relayed':
        return onRelayed?.(frame.from, frame.token, frame.message);
      case 'relayReply':
        return this.#relays.settle(frame);
      case 'suspendReply':
        return this.#suspending?.({ ok: frame.ok, reason: frame.reason });
      case 'secret':
        if (typeof frame.secret === 'string') this.#secret = frame.secret;
        return;
      case 'release':
        return this.options.onRelease?.(frame.reason);
      case 'stop':
        this.#joined = false;
        this.#control?.destroy();
        this.#end(frame.reason);
        return onStop(frame.reason, frame.fenced);
      case 'commandReply':
      case 'reloaded':
      case 'statusReply':
      case 'event':
      case 'eventsEnd':
        log?.('warn', `a '${frame.type}' frame that nobody waits for`, { seed });
        return;
      default:
        frame satisfies never;
    }
  }

  /** False: there is no connection to the seed. */
  #send(frame: ToSeed): boolean {
    return this.#joined && this.#control?.send(frame) === true;
  }

  #end(reason: string): void {
    this.#ended.abort();
    clearTimeout(this.#lostTimer);
    this.#suspending?.({ ok: false, reason });
    this.#locates.end(reason);
    this.#relays.fail(reason);
  }
}
