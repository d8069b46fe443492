import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { FromSeed, ToSeed } from '../protocol/frames';
import { type Channel, type ChannelEnd, openChannel } from './channel';
import { pskOptions } from './tls-options';

/** Where the seed is and who we are to it. */
export interface SeedAccess {
  /** `address:port` of the seed's control network. */
  readonly seed: string;
  /** `host/NAME/EPOCH`, `client` or `operator`. */
  readonly identity: string;
  /** Pre-shared key of that identity (in base64 when it is text). */
  readonly secret: string | Uint8Array;
}

export interface ControlOptions extends SeedAccess {
  /** Local address to connect from. */
  readonly source?: string;
  /** Milliseconds for connecting and the handshake. Default 5,000. */
  readonly timeout?: number;
  readonly onFrame: (frame: FromSeed) => void;
  /** Called once, when an open connection has ended, for whatever reason. */
  readonly onClose?: (end: ChannelEnd) => void;
  /** Aborted: the connection (or the attempt) is closed. */
  readonly signal?: AbortSignal;
}

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

/** Opens one connection to the seed. Resolves when both sides have proved that they know the key. */
export function openControl(options: ControlOptions): Promise<Control> {
  const { seed, identity, signal } = options;
  return new Promise((resolve, reject) => {
    const fail = (code: ControlError['code'], message: string) => reject(new ControlError(code, message, seed));
    if (signal?.aborted) return fail('aborted', `connecting to the seed at ${seed} was given up`);
    const psk = typeof options.secret === 'string' ? Buffer.from(options.secret, 'base64') : options.secret;
    const colon = seed.lastIndexOf(':');
    const limit = options.timeout ?? 5_000;
    const settings: ConnectionOptions = {
      ...pskOptions(),
      host: seed.slice(0, colon),
      port: Number(seed.slice(colon + 1)),
      pskCallback: () => ({ psk, identity }),
      // There are no certificates: the key proves both sides.
      checkServerIdentity: () => undefined,
    };
    if (options.source) (settings as { localAddress?: string }).localAddress = options.source;
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
      resolve(
        openChannel<FromSeed, ToSeed>(socket, {
          onFrame: options.onFrame,
          onClose: (reason) => {
            signal?.removeEventListener('abort', close);
            options.onClose?.(reason);
          },
        }),
      );
      const close = () => socket.destroy();
      signal?.addEventListener('abort', close, { once: true });
    };
    socket.on('error', onError).on('close', onEarlyClose).on('secureConnect', onSecure);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
