import type { ConnectErrno } from '../../contract/control/errno';
import type { FromSeed } from '../../contract/control/from-seed';
import type { Location } from '../../contract/control/location';
import { type DirectoryEntry, unpackDirectory } from '../../contract/control/packed-directory';
import type { ReportedEvent, ToSeed } from '../../contract/control/to-seed';
import { parseAddress } from '../../contract/manifest/address';
import type { MemberMessage, NatReport, Observation, Recipient, Sender } from '../../contract/peer/peer-messages';
import { type Control, ControlError, openControl, type SeedAccess } from './connection';

export type FrameOf<F, T> = Extract<F, { readonly type: T }>;
export type JoinFrame = FrameOf<ToSeed, 'join'>;
export type PortsFrame = FrameOf<ToSeed, 'ports'>;
export type LeaveFrame = FrameOf<ToSeed, 'leave'>;
export type Welcome = Omit<FrameOf<FromSeed, 'welcome'>, 'directory'> & {
  /** Unpacked, and also when the seed did not send it again. */
  readonly directory: readonly DirectoryEntry[];
};
export type ReportDetail = FrameOf<ToSeed, 'report'>['detail'];
export type Log = (level: 'info' | 'warn' | 'error', message: string, detail?: ReportDetail) => void;

/** Where an asked-for port really is. */
export interface Answer {
  readonly location: Location;
  readonly realPort: number;
}

/** The host that was asked for cannot be connected to: what the guest gets, and why, for people. */
export class LocateError extends Error {
  constructor(
    readonly errno: ConnectErrno,
    message: string,
  ) {
    super(message);
    this.name = 'AskError';
  }
}

export interface SessionOptions extends SeedAccess {
  /** Local address to connect from. */
  readonly source?: string | (() => string | undefined);
  /** See `ControlOptions.ownPort`. */
  readonly ownPort?: boolean;
  /** Made anew for every connection, so that it carries the ports of that moment. */
  readonly join: () => Omit<JoinFrame, 'type' | 'directoryDigest'>;
  /** After every join that succeeded: the first, and each one after a lost connection. */
  readonly onWelcome?: (welcome: Welcome) => void;
  /** A location that was asked for has changed. It is acknowledged when this returns: have it in force by then. */
  readonly onLocation: (location: Location) => void;
  /** Another member's message. */
  readonly onPeerMessage?: (from: Sender, message: MemberMessage) => void;
  /** What was told `to` (the message with this `id`) did not get there. */
  readonly onUndeliverable?: (to: Recipient, id: number | undefined, reason: string) => void;
  /** Another member wants a connection through the seed's data port: it has the other token. */
  readonly onRelayed?: (from: Sender, token: string, message: MemberMessage) => void;
  /** The connection was lost. Locations change unseen from now on: forget them all, so that guests ask again. */
  readonly onDisconnect?: () => void;
  /** The seed ends this session for good: fenced by a newer epoch, the cluster goes down, or the key is no longer accepted. */
  readonly onStop: (reason: string, fenced: boolean) => void;
  /** After this many milliseconds without a connection, asks fail with ENETUNREACH. Default 15,000. */
  readonly unreachableAfter?: number;
  readonly signal?: AbortSignal;
  readonly log?: Log;
}

export interface LocateOptions {
  readonly staleEpoch?: number;
  readonly signal?: AbortSignal;
  readonly protocol?: 'udp';
  /** `performance.now()` of the guest's call. Default: now. */
  readonly since?: number;
}

/** A supervisor's place in the cluster: joins, and joins again when the connection or the seed is lost. */
export interface Session {
  readonly connected: boolean;
  /** How the present connection is seen from both ends; undefined without one. */
  readonly observation: Observation | undefined;
  /** Where `host`:`port` is, once it listens; allocates the host if need be. Kept through a lost connection. @throws AskError */
  locate(host: string, port: number, options?: LocateOptions): Promise<Answer>;
  /** All ports the guests listen on now. Without a connection nothing is lost: the next join carries them. */
  ports(ports: PortsFrame['ports'], settled: boolean, settledDatagrams?: boolean): void;
  /** What was found out about the NAT. Without a connection nothing happens: the next join is for that. */
  reportNat(nat: NatReport): void;
  /** Sends a message to another member. False: there is no connection to the seed. */
  sendPeerMessage(to: Recipient, message: MemberMessage): boolean;
  /**
   * Asks for a connection to another member through the seed's data port.
   * @returns the token (base64) to connect to the data port with
   * @throws AskError
   */
  relay(to: Recipient, message: MemberMessage): Promise<string>;
  /** Something the operator should see. Kept (the last 100) until there is a connection. */
  report(event: ReportedEvent, detail?: ReportDetail): void;
  /**
   * Asks to be suspended. `ok`: no other host believes any longer that this one can be reached. Not `ok` without a connection, nor
   * when the seed has not answered after `limit` ms (default 5,000): the path to it may be dead without a sign.
   */
  suspend(limit?: number): Promise<{ readonly ok: boolean; readonly reason?: string }>;
  /** After a `suspend` that was ok: something came in meanwhile. */
  stay(): void;
  /** Says good-bye and closes. Ends the session. */
  leave(frame: Omit<LeaveFrame, 'type'>): Promise<void>;
  /** Ends the session without a word. Open asks fail. */
  close(): void;
}

interface OpenLocate {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly staleEpoch?: number;
  readonly protocol?: 'udp';
  readonly since: number;
  readonly settle: (outcome: Answer | LocateError) => void;
}

const FIRST_RETRY = 50;
/** With the jitter less than a seed's grace time: who was running is back before anything is allocated anew. */
const LAST_RETRY = 1_000;
const KEPT_REPORTS = 100;
/** Whoever leaves has an invocation to end in time. */
const LEAVE_LIMIT = 500;
/** Longer than the seed waits for those who know this host. */
const SUSPEND_LIMIT = 5_000;

/**
 * Joins the cluster and stays joined until `leave`, `close`, the signal, or the seed's `stop`.
 * @throws ControlError when the first join does not succeed: at once when the seed says no, after the signal's abort when it cannot
 * be reached
 */
export async function openSession(options: SessionOptions): Promise<Session & { readonly welcome: Welcome }> {
  const { log, seed } = options;
  let { secret } = options;
  const locates = new Map<number, OpenLocate>();
  const relays = new Map<number, { resolve(token: string): void; reject(error: LocateError): void }>();
  const reports: Array<FrameOf<ToSeed, 'report'>> = [];
  let nextId = 1;
  let control: Control | undefined;
  /** True between `welcome` and the end of the connection. */
  let joined = false;
  let welcome: Welcome | undefined;
  let suspending: ((reply: { ok: boolean; reason?: string }) => void) | undefined;
  /** Without a connection for so long that asks no longer wait for one. */
  let unreachable = false;
  let lostTimer: NodeJS.Timeout | undefined;
  const ended = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ended.signal]) : ended.signal;

  const failLocates = (errno: ConnectErrno, reason: string) => {
    for (const ask of [...locates.values()]) ask.settle(new LocateError(errno, reason));
  };
  const failRelays = (reason: string) => {
    for (const relay of relays.values()) relay.reject(new LocateError('ENETUNREACH', reason));
    relays.clear();
  };
  const endSession = (reason: string) => {
    ended.abort();
    clearTimeout(lostTimer);
    suspending?.({ ok: false, reason });
    failLocates('ENETUNREACH', reason);
    failRelays(reason);
  };
  const sendLocate = ({ id, host, port, staleEpoch, since, protocol }: OpenLocate) => {
    const waited = Math.round(performance.now() - since);
    control?.send({ type: 'locate', id, host, port, staleEpoch, protocol, ...(waited > 0 ? { waited } : {}) });
  };

  /** One connection, from join to welcome. */
  const connectOnce = () =>
    new Promise<Welcome>((resolve, reject) => {
      let fresh: Control | undefined;
      openControl({
        ...options,
        secret,
        signal,
        source: typeof options.source === 'function' ? options.source() : options.source,
        onFrame: (frame) => {
          if (frame.type === 'welcome') {
            // It is left out only for who has it.
            const directory = frame.directory === undefined ? welcome!.directory : unpackDirectory(frame.directory);
            if (parseAddress(frame.self.address) === undefined) throw new Error('the seed gave no address');
            control = fresh;
            joined = true;
            const now = { ...frame, directory };
            onJoined(now);
            resolve(now);
          } else if (frame.type === 'refuse') {
            reject(new ControlError(frame.fenced ? 'fenced' : 'refused', frame.reason, seed));
          } else onFrame(frame);
        },
        onClose: (end) => {
          const why = end.error?.message ?? 'it closed the connection';
          reject(new ControlError('unreachable', `the seed at ${seed} was lost: ${why}`, seed));
          if (control === fresh && joined) onLost(end.error?.message ?? 'closed by the seed');
        },
      })
        .then((opened) => {
          fresh = opened;
          // A client keeps the address that it got with its first join.
          const keep = welcome && !welcome.host ? { virtual: welcome.self.address } : {};
          opened.send({ type: 'join', ...keep, ...options.join(), directoryDigest: welcome?.directoryDigest });
        })
        .catch(reject);
    });

  const onJoined = (now: Welcome) => {
    clearTimeout(lostTimer);
    unreachable = false;
    welcome = now;
    // Those that `onWelcome` asks are sent by themselves: sent twice, they would end the connection.
    const open = [...locates.values()];
    options.onWelcome?.(now);
    for (const frame of reports.splice(0)) control?.send(frame);
    for (const ask of open) if (locates.has(ask.id)) sendLocate(ask);
  };

  const onLost = (reason: string) => {
    joined = false;
    control = undefined;
    suspending?.({ ok: false, reason: 'the connection to the seed was lost' });
    failRelays('the connection to the seed was lost');
    if (signal.aborted) return;
    log?.('warn', `lost the connection to the seed: ${reason}`, { seed });
    options.onDisconnect?.();
    lostTimer = setTimeout(() => {
      unreachable = true;
      failLocates('ENETUNREACH', `the seed at ${seed} cannot be reached`);
    }, options.unreachableAfter ?? 15_000);
    void connectUntilJoined().catch((error: ControlError) => {
      endSession(error.message);
      if (error.code !== 'aborted') options.onStop(error.message, error.code === 'fenced');
    });
  };

  const connectUntilJoined = async (): Promise<Welcome> => {
    for (let delay = FIRST_RETRY; ; delay = Math.min(delay * 2, LAST_RETRY)) {
      try {
        return await connectOnce();
      } catch (error) {
        if (!(error instanceof ControlError) || error.code !== 'unreachable' || signal.aborted) throw error;
        log?.('info', error.message, { seed });
      }
      await pause(delay * (0.5 + Math.random()), signal);
    }
  };

  const onFrame = (frame: Exclude<FromSeed, { type: 'welcome' | 'refuse' }>) => {
    switch (frame.type) {
      case 'located':
        return locates.get(frame.id)?.settle({ location: frame.location, realPort: frame.realPort });
      case 'unreachable':
        return locates.get(frame.id)?.settle(new LocateError(frame.errno, frame.reason));
      case 'location':
        options.onLocation(frame.location);
        control?.send({ type: 'ack', host: frame.location.host, version: frame.version });
        return;
      case 'peerMessage':
        return options.onPeerMessage?.(frame.from, frame.message);
      case 'undeliverable':
        return options.onUndeliverable?.(frame.to, frame.id, frame.reason);
      case 'relayed':
        return options.onRelayed?.(frame.from, frame.token, frame.message);
      case 'relayReply': {
        const relay = relays.get(frame.id);
        relays.delete(frame.id);
        if ('token' in frame) relay?.resolve(frame.token);
        else relay?.reject(new LocateError('EHOSTUNREACH', frame.reason));
        return;
      }
      case 'suspendReply':
        return suspending?.({ ok: frame.ok, reason: frame.reason });
      case 'secret':
        if (typeof frame.secret === 'string') secret = frame.secret;
        return;
      case 'stop':
        control?.destroy();
        endSession(frame.reason);
        return options.onStop(frame.reason, frame.fenced);
      case 'reloaded':
      case 'statusReply':
      case 'event':
      case 'eventsEnd':
        log?.('warn', `a '${frame.type}' frame that nobody waits for`, { seed });
        return;
      default:
        frame satisfies never;
    }
  };

  options.signal?.addEventListener('abort', () => endSession('the session was ended'), { once: true });
  await connectUntilJoined();

  return {
    get connected() {
      return joined;
    },
    get welcome() {
      return welcome!;
    },
    get observation() {
      if (!control || !welcome) return undefined;
      const { observed, observedPort, dataPort, ports } = welcome;
      return {
        local: control.local,
        observed: { address: observed, port: observedPort },
        dataPort: { address: control.peer, port: dataPort },
        ports,
      };
    },
    locate: (host, port, { staleEpoch, signal: given, protocol, since = performance.now() } = {}) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(new LocateError('ENETUNREACH', 'the session has ended'));
        if (unreachable) return reject(new LocateError('ENETUNREACH', `the seed at ${seed} cannot be reached`));
        const id = nextId++;
        const onAbort = () => {
          control?.send({ type: 'cancel', id });
          ask.settle(new LocateError('ETIMEDOUT', 'given up by the caller'));
        };
        const ask: OpenLocate = {
          id,
          host,
          port,
          staleEpoch,
          protocol,
          since,
          settle: (outcome) => {
            locates.delete(id);
            given?.removeEventListener('abort', onAbort);
            if (outcome instanceof LocateError) reject(outcome);
            else resolve(outcome);
          },
        };
        locates.set(id, ask);
        if (given?.aborted) return onAbort();
        given?.addEventListener('abort', onAbort, { once: true });
        if (joined) sendLocate(ask);
      }),
    ports: (ports, settled, settledDatagrams) =>
      void (joined && control?.send({ type: 'ports', ports, settled, settledDatagrams })),
    reportNat: (nat) => void (joined && control?.send({ type: 'natReport', nat })),
    sendPeerMessage: (to, message) => joined && control?.send({ type: 'peerMessage', to, message }) === true,
    relay: (to, message) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        if (joined && control?.send({ type: 'relay', id, to, message })) relays.set(id, { resolve, reject });
        else reject(new LocateError('ENETUNREACH', 'there is no connection to the seed'));
      }),
    report: (event, detail = {}) => {
      const frame = { type: 'report', event, detail } as const;
      if (joined && control?.send(frame)) return;
      reports.push(frame);
      if (reports.length > KEPT_REPORTS) reports.shift();
    },
    suspend: (limit = SUSPEND_LIMIT) =>
      new Promise((resolve) => {
        if (!joined) return resolve({ ok: false, reason: 'there is no connection to the seed' });
        const timer = setTimeout(() => {
          suspending?.({ ok: false, reason: `the seed did not answer within ${limit} ms` });
          // It may have said yes, which nobody takes back over a connection that is dead: joining again does.
          control?.destroy();
        }, limit);
        suspending = (reply) => {
          suspending = undefined;
          clearTimeout(timer);
          resolve(reply);
        };
        control?.send({ type: 'suspend' });
      }),
    stay: () => void control?.send({ type: 'stay' }),
    leave: async (frame) => {
      const last = control;
      const told = joined && last?.send({ type: 'leave', ...frame });
      joined = false;
      if (told) await last?.end(LEAVE_LIMIT);
      endSession('the session was ended');
    },
    close: () => {
      const last = control;
      endSession('the session was ended');
      last?.destroy();
    },
  };
}

/** Waits; ends early, with a rejection, when the signal is aborted. */
function pause(delay: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(new ControlError('aborted', 'given up', ''));
    };
    if (signal.aborted) return onAbort();
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, delay);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
