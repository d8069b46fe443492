import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { AnyFrame } from '../../contract/control/frame-codec';
import type { FromSeed } from '../../contract/control/from-seed';
import { type Identity, parseIdentity } from '../../contract/control/psk';
import { Channel, type ChannelEnd } from './channel';
import { handshakes } from './handshakes';
import { pskOptions } from './tls-options';

/** Handlers of a connection whose peer has proved its identity. */
export interface PeerHandlers {
  readonly onFrame: (frame: AnyFrame) => void;
  /** A binary frame. Absent: it is a fault of the peer. */
  readonly onBytes?: (bytes: Buffer) => void;
  readonly onClose: (end: ChannelEnd) => void;
}

export interface ControlServerOptions {
  /** `address:port` to listen on. */
  readonly listen: string;
  /** The pre-shared key of an identity; undefined for one that is not ours. */
  readonly secretOf: (identity: Identity) => Uint8Array | undefined;
  /** Given to every peer that begins a handshake: not secret. */
  readonly cluster?: string;
  readonly onPeer: (identity: Identity, channel: Channel<FromSeed>) => PeerHandlers;
  /** A peer that did not get in: once per address and minute. */
  readonly onRejected: (peer: string, reason: string) => void;
  readonly heartbeat?: number;
  /** See `ChannelOptions`. */
  readonly deadAfter?: number;
  /** See `ChannelOptions`. Called before a handshake is answered, too. */
  readonly check?: () => void;
  readonly maxQueued?: number;
  /** Frames per second of one peer. Default 5,000. */
  readonly maxRate?: number;
  /** Milliseconds in which a peer has to prove its identity. Default 5,000. */
  readonly handshakeTimeout?: number;
}

export interface ControlServer {
  /** `address:port` that is really listened on. */
  readonly address: string;
  /** Connections whose peer has not proved its identity yet. */
  readonly handshaking: number;
  /** Stops listening and closes every connection. */
  close(): Promise<void>;
}

/** Far more than any frame to the seed needs. */
const MAX_FRAME = 1024 * 1024;
/** Frames per second of one peer. Further frames wait on the peer's side. */
const MAX_RATE = 5_000;

/** Listens for supervisors and operators. @throws the error of listen(2) */
export async function listenControl(options: ControlServerOptions): Promise<ControlServer> {
  /** By TLS socket: the identity that its peer claims, parsed when it may be one of ours. */
  const claims = new WeakMap<object, { readonly text: string; readonly identity?: Identity }>();
  const sockets = new Set<TLSSocket>();
  const rejected = rateLimited(options.onRejected);
  const open = handshakes((socket) => server.emit('connection', socket), rejected);

  /** A fault that one peer causes costs no other peer its connection. */
  const guarded = (channel: Channel<FromSeed>, act: () => void) => {
    try {
      act();
    } catch (error) {
      rejected(channel.peer, `its connection could not be handled: ${(error as Error).stack}`);
      channel.destroy();
    }
  };

  const server = createTlsServer({
    ...pskOptions(),
    handshakeTimeout: options.handshakeTimeout ?? 5_000,
    // Secrets are made from it, and a host instance is told the seed's address and a key only.
    pskIdentityHint: options.cluster,
    pskCallback: (socket, text) => {
      options.check?.();
      claims.set(socket, { text });
      try {
        const identity = parseIdentity(text);
        const secret = identity && options.secretOf(identity);
        claims.set(socket, { text, identity: secret && identity });
        // An unknown identity fails exactly as a wrong key does: names of hosts are not for strangers to find out.
        if (secret) return secret;
      } catch (error) {
        rejected(socket.remoteAddress ?? 'unknown', `its identity could not be handled: ${(error as Error).stack}`);
      }
      return randomBytes(32);
    },
  });
  // Nothing is read before the handshake begins.
  const listener = createServer({ pauseOnConnect: true }, open.add);
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const claim = claims.get(socket);
    // A connection that ends without a byte (a port scan, a health check) is not reported.
    if (claim || error.code !== 'ECONNRESET') {
      const who = claim ? ` as '${claim.text.slice(0, 80)}'` : '';
      rejected(socket.remoteAddress ?? 'unknown', `no handshake${who}: ${error.code ?? error.message}`);
    }
    socket.destroy();
  });
  server.on('secureConnection', (socket) => {
    open.done(socket);
    const identity = claims.get(socket)?.identity;
    if (!identity) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    let handlers: PeerHandlers | undefined;
    const channel = new Channel<FromSeed>(socket, {
      heartbeat: options.heartbeat,
      deadAfter: options.deadAfter,
      check: options.check,
      maxQueued: options.maxQueued,
      maxFrame: MAX_FRAME,
      maxRate: options.maxRate ?? MAX_RATE,
      onFrame: (frame) => handlers?.onFrame(frame),
      onBytes: (bytes) => {
        if (handlers?.onBytes) handlers.onBytes(bytes);
        else channel.fault('a binary frame from a peer that has none to send');
      },
      onClose: (end) => guarded(channel, () => handlers?.onClose(end)),
    });
    guarded(channel, () => {
      handlers = options.onPeer(identity, channel);
    });
  });

  const colon = options.listen.lastIndexOf(':');
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(Number(options.listen.slice(colon + 1)), options.listen.slice(0, colon), 1024, resolve);
  });
  const bound = listener.address() as { address: string; port: number };
  return {
    address: `${bound.address}:${bound.port}`,
    get handshaking() {
      return open.count;
    },
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        open.destroyAll();
        for (const socket of [...sockets]) socket.destroy();
      }),
  };
}

/** Passes on one report per peer and minute; remembers at most 1,000 peers. */
function rateLimited(report: (peer: string, reason: string) => void): (peer: string, reason: string) => void {
  const last = new Map<string, number>();
  return (peer, reason) => {
    const now = performance.now();
    if (now - (last.get(peer) ?? -Infinity) < 60_000) return;
    last.delete(peer);
    last.set(peer, now);
    if (last.size > 1_000) last.delete(last.keys().next().value as string);
    report(peer, reason);
  };
}
