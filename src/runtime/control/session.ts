import type { FromSeed } from '../../contract/control/from-seed';
import { unpackDirectory } from '../../contract/control/packed-directory';
import type { HeldBy, ReportedEvent, ToSeed } from '../../contract/control/to-seed';
import { parseAddress } from '../../contract/manifest/address';
import type { NatReport, Observation, PeerMessage, Recipient } from '../../contract/peer/peer-messages';
import { pause } from '../pause';
import { type Control, ControlError, type SeedAccess, type SeedEndpoint } from './connection';
import { Coordination } from './coordination';
import { type Joining, joinOnce } from './joining';
import { type Located, type LocateOptions, Locates } from './locates';
import { Parked, type ParkedOptions } from './parked';
import { receive, type SessionFrame } from './receive';
import { Relays } from './relays';
import { Reports } from './reports';
import { type ServiceFrames, serviceFrames } from './service-frames';
import type {
  FrameOf,
  JoinContent,
  JoinFrame,
  LeaveFrame,
  PortsFrame,
  ReportDetail,
  SessionOptions,
  SuspendReply,
  Welcome,
} from './session-options';
import { Standstill } from './standstill';

const FIRST_RETRY = 50;
/** With the jitter less than a seed's grace time: hosts that were running are back before a host is allocated anew. */
const LAST_RETRY = 1_000;
/** A member that leaves has an invocation to end in time. */
const LEAVE_LIMIT = 500;

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
  readonly coordination = new Coordination((frame) => this.#send(frame));
  readonly services: ServiceFrames = serviceFrames((frame) => this.#send(frame));
  readonly #reports = new Reports((frame) => this.#send(frame));
  readonly #standstill = new Standstill(
    (frame) => this.#send(frame),
    () => this.#control?.destroy(),
  );
  readonly #onFrame: (frame: SessionFrame) => void;
  readonly #ended = new AbortController();
  readonly #signal: AbortSignal;
  /** As the seed renewed it last. */
  #secret: SeedAccess['secret'];
  /** Of two, the one that served last comes first. */
  #seeds: readonly SeedEndpoint[];
  #control: Control | undefined;
  /** The connection that the session before has left, until it is known to be dead. */
  #kept: Control | undefined;
  /** True between `welcome` and the end of the connection. */
  #joined = false;
  #welcome: Welcome | undefined;
  /** As it was reported last. */
  #nat: NatReport | undefined;
  #lostTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: SessionOptions) {
    const { seed, path, standby } = options;
    this.#seeds = [{ seed, path }, ...(standby ? [standby] : [])];
    this.#secret = options.secret;
    this.#locates = new Locates((frame) => this.#joined && void this.#control?.send(frame));
    this.#signal = options.signal ? AbortSignal.any([options.signal, this.#ended.signal]) : this.#ended.signal;
    this.#onFrame = receive({
      options,
      locates: this.#locates,
      relays: this.#relays,
      coordination: this.coordination,
      standstill: this.#standstill,
      acknowledge: (frame) => void this.#control?.send(frame),
      renew: (secret) => {
        this.#secret = secret;
      },
      stop: (reason, fenced) => this.#stop(reason, fenced),
      unasked: ({ type }) =>
        options.log?.('warn', `a '${type}' frame that nobody waits for`, { seed: this.#seeds[0].seed }),
    });
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

  /** A guest's answer to a client from outside (`encodeOutside`). Lost without a connection, or when too many wait. */
  sendOutside(bytes: Buffer): void {
    if (this.#joined) this.#control?.offer(bytes);
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

  /** A guest has connected to that epoch, as the seed expected. Without a connection nothing happens. */
  used(host: string, epoch: number): void {
    this.#send({ type: 'used', host, epoch });
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
    this.#nat = nat;
    this.#send({ type: 'natReport', nat });
  }

  /** Asks the seed to connect to that port here. Without a connection nothing happens: nobody comes. */
  knock(port: number, secret: string): void {
    this.#send({ type: 'knock', port, secret });
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

  /** Answers `onRelayed`: this member will not come. Without a connection nothing happens: the token expires. */
  refuseRelayed(token: string, reason: string): void {
    this.#send({ type: 'relayRefused', token, reason });
  }

  /** Reports an event for operators. Kept (the last 100) until there is a connection. */
  report(event: ReportedEvent, detail: ReportDetail = {}): void {
    this.#reports.report(event, detail);
  }

  /** Says what keeps the host from being idle: to this seed, and to the next. It may stay so for long. */
  held(by: HeldBy, what?: string): void {
    this.#reports.held(by, what);
  }

  /**
   * Asks to be suspended. `ok`: no other host believes any longer that this one can be reached. Not `ok` without a
   * connection, nor when the seed has not answered after `limit` ms: the path to it may be dead without a sign.
   */
  suspend(limit?: number): Promise<SuspendReply> {
    return this.#standstill.suspend(limit);
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

  /**
   * The same, but leaves the connection for the session after this one. @returns undefined: the seed does not keep it,
   * and it is closed
   */
  async park(frame: Omit<LeaveFrame, 'type' | 'park'>): Promise<Parked | undefined> {
    const control = this.#control;
    const [endpoint] = this.#seeds;
    const sent = this.#send({ type: 'leave', ...frame, park: true });
    this.#joined = false;
    const parked = sent && (await this.#standstill.granted(LEAVE_LIMIT));
    const { identity } = this.options;
    const kept =
      parked && control?.open
        ? new Parked({ control, endpoint, identity, welcome: this.welcome, nat: this.#nat })
        : undefined;
    if (!kept) control?.destroy();
    this.#end('the session was ended');
    return kept;
  }

  /** Ends the session without a frame. Open locates fail. */
  close(): void {
    const last = this.#control;
    this.#end('the session was ended');
    last?.destroy();
  }

  async connectUntilJoined(): Promise<void> {
    const { parked, identity, seed } = this.options;
    const kept = parked?.take(identity, seed);
    for (let delay = FIRST_RETRY; ; delay = Math.min(delay * 2, LAST_RETRY)) {
      try {
        return await this.#joinOnce(delay === FIRST_RETRY ? kept : undefined);
      } catch (error) {
        if (!(error instanceof ControlError) || error.code !== 'unreachable' || this.#signal.aborted) throw error;
        this.#logUnreachable(error);
      }
      await pause(delay * (0.5 + Math.random()), this.#signal);
    }
  }

  /** One connection, from join to welcome. @param kept it may be the one that is there already */
  #joinOnce(kept?: ParkedOptions): Promise<void> {
    this.#kept = kept?.control;
    if (kept) {
      this.#welcome = kept.welcome;
      this.#nat = kept.nat;
    }
    const joining: Joining = {
      options: this.options,
      signal: this.#signal,
      seeds: this.#seeds,
      secret: this.#secret,
      joinFrame: () => this.#joinFrame(),
      onWelcome: (control, endpoint, welcome) => this.#onWelcome(control, endpoint, welcome),
      onFrame: this.#onFrame,
      onBytes: this.options.onOutside,
      onEnd: (control, reason) => {
        if (this.#control !== control) return;
        this.#standstill.parked(false);
        if (this.#joined) this.#onLost(reason);
      },
      onFailure: (error) => this.#logUnreachable(error),
    };
    return joinOnce(joining, kept);
  }

  #joinFrame(): JoinFrame | Promise<JoinFrame> {
    const { self, host, directoryDigest } = this.#welcome ?? {};
    // A client keeps the address that it got with its first join.
    const keep = self && !host ? { virtual: self.address } : {};
    const frameOf = (content: JoinContent): JoinFrame => ({ type: 'join', ...keep, ...content, directoryDigest });
    const content = this.options.join();
    return content instanceof Promise ? content.then(frameOf) : frameOf(content);
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
    this.options.onWelcome?.(this.#welcome, { parked: control === this.#kept });
    this.#reports.joined();
    sendAgain();
    this.coordination.joined();
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
    this.#standstill.suspended({ ok: false, reason: lost });
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

  #stop(reason: string, fenced: boolean): void {
    this.#joined = false;
    this.#control?.destroy();
    this.#end(reason);
    this.options.onStop(reason, fenced);
  }

  /** False: there is no connection to the seed. */
  #send(frame: ToSeed): boolean {
    return this.#joined && this.#control?.send(frame) === true;
  }

  #end(reason: string): void {
    this.#ended.abort();
    clearTimeout(this.#lostTimer);
    this.#standstill.suspended({ ok: false, reason });
    this.#locates.end(reason);
    this.coordination.end(reason);
    this.#relays.fail(reason);
  }
}
