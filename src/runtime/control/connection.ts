import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { FromSeed } from '../../contract/control/from-seed';
import { checkFromSeed } from '../../contract/control/from-seed';
import { claimOf, parseSecret } from '../../contract/control/psk';
import type { ToSeed } from '../../contract/control/to-seed';
import { Channel, type ChannelEnd } from './channel';
import { pskContext, pskOptions } from './tls-options';

/** Where a seed is. */
export interface SeedEndpoint {
  /** `address:port` of the seed's control network. */
  readonly seed: string;
  /** A Unix socket that leads there, where the address itself does not. */
  readonly path?: string;
}

/** The seed's address and this peer's identity. */
export interface SeedAccess extends SeedEndpoint {
  /** The cluster's other seed, which takes over when that one is gone. */
  readonly standby?: SeedEndpoint;
  /** `host/NAME/EPOCH`, `client` or `operator`. */
  readonly identity: string;
  /**
   * Pre-shared key of that identity; as text, what `joinSecret` makes. A function is called for each connection, with
   * the name of the cluster as the seed gives it: nothing proves the name before the handshake is done.
   */
  readonly secret: string | Uint8Array | ((cluster: string | undefined) => string);
}

/** Whose an open connection is. */
export interface ControlHandlers {
  readonly onFrame: (frame: FromSeed) => void;
  /** A binary frame. Absent: nobody wants any. */
  readonly onBytes?: (bytes: Buffer) => void;
  /** Called once, when an open connection has ended, for whatever reason. */
  readonly onClose?: (end: ChannelEnd) => void;
  /** Aborted: the connection (or the attempt) is closed. */
  readonly signal?: AbortSignal;
}

export interface ControlOptions extends SeedAccess, ControlHandlers {
  /** Local address to connect from. */
  readonly source?: string;
  /**
   * Connect from a port of our choice: only such a port can be connected from a second time, to classify a NAT.
   * Default: the kernel chooses.
   */
  readonly ownPort?: boolean;
  /** Milliseconds for connecting and the handshake. Default 5,000. */
  readonly timeout?: number;
  /** Milliseconds between signs of life. Default 5,000, or fewer where there is a standby. */
  readonly heartbeat?: number;
}

/**
 * Below those that kernels choose from: first and count. One that is taken by chance fails, and the next try has
 * another.
 */
const PORTS = [10_240, 22_528] as const;

/**
 * Milliseconds between signs of life where there are two seeds: a member has left one that stands still before the
 * other one allocates.
 */
export const STANDBY_HEARTBEAT = 500;

/** One connection to the seed. It does not reconnect: see `openSession`. */
export type Control = Channel<ToSeed>;

/**
 * The seed cannot be reached, did not accept our key (`rejected`), or said no (`refused`, `fenced`).
 * Only `unreachable` is worth another try.
 */
export class ControlError extends Error {
  constructor(
    readonly code: 'unreachable' | 'rejected' | 'refused' | 'fenced' | 'aborted',
    message: string,
    readonly seed: string,
  ) {
    super(message);
    this.name = 'ControlError';
  }
}

/** From now on what comes over the connection, and its end, are for these. */
export function handOver(control: Control, { onFrame, onBytes, onClose, signal }: ControlHandlers): void {
  const forgetSignal = () => signal?.removeEventListener('abort', control.destroy);
  control.passTo({
    onFrame: (raw) => {
      const checked = checkFromSeed(raw);
      if ('frame' in checked) onFrame(checked.frame);
      else control.fault(checked.problem);
    },
    onBytes,
    onClose: (end) => {
      forgetSignal();
      onClose?.(end);
    },
    onPassed: forgetSignal,
  });
  signal?.addEventListener('abort', control.destroy, { once: true });
}

/** Opens one connection to the seed. Resolves when both sides have proved that they know the key. */
export function openControl(options: ControlOptions): Promise<Control> {
  const { seed, identity, signal } = options;
  return new Promise((resolve, reject) => {
    const fail = (code: ControlError['code'], message: string) => reject(new ControlError(code, message, seed));
    if (signal?.aborted) return fail('aborted', `connecting to the seed at ${seed} was given up`);
    const colon = seed.lastIndexOf(':');
    const limit = options.timeout ?? 5_000;
    const settings: ConnectionOptions = {
      ...pskOptions(),
      secureContext: pskContext(),
      ...(options.path === undefined
        ? { host: seed.slice(0, colon), port: Number(seed.slice(colon + 1)) }
        : { path: options.path }),
      pskCallback: (hint) => {
        try {
          const secret = typeof options.secret === 'function' ? options.secret(hint ?? undefined) : options.secret;
          const { key, psk } = typeof secret === 'string' ? parseSecret(secret) : { key: undefined, psk: secret };
          return { psk, identity: claimOf(identity, key) };
        } catch (error) {
          end('rejected', `there is no key for the seed at ${seed}: ${(error as Error).message}`);
          return null;
        }
      },
      // There are no certificates: the key proves both sides.
      checkServerIdentity: () => undefined,
    };
    const from = settings as { localAddress?: string; localPort?: number };
    if (options.source) from.localAddress = options.source;
    if (options.ownPort) from.localPort = PORTS[0] + Math.floor(Math.random() * PORTS[1]);
    const socket: TLSSocket = connect(settings);
    socket.setNoDelay(true);
    const timer = setTimeout(() => end('unreachable', `the seed at ${seed} did not answer within ${limit} ms`), limit);
    const onAbort = () => end('aborted', `connecting to the seed at ${seed} was given up`);
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError).off('close', onEarlyClose).off('secureConnect', onSecure);
    };
    const end = (code: ControlError['code'], message: string) => {
      settle();
      socket.on('error', () => undefined);
      socket.destroy();
      fail(code, message);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      // An alert of the other side's TLS: it does not know this identity, or knows another key for it.
      if (error.code?.startsWith('ERR_SSL')) {
        return end('rejected', `the seed at ${seed} did not accept the key of '${identity}' (${error.code})`);
      }
      end('unreachable', `the seed at ${seed} cannot be reached: ${error.message}`);
    };
    const onEarlyClose = () => end('unreachable', `the seed at ${seed} closed the connection`);
    const onSecure = () => {
      settle();
      const channel: Control = new Channel<ToSeed>(socket, {
        heartbeat: options.heartbeat ?? (options.standby && STANDBY_HEARTBEAT),
        onFrame: () => undefined,
        onBytes: () => undefined,
        onClose: () => undefined,
      });
      handOver(channel, options);
      resolve(channel);
    };
    socket.on('error', onError).on('close', onEarlyClose).on('secureConnect', onSecure);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
