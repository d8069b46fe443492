import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { AnyFrame } from '../protocol/frame-codec';
import type { FromSeed } from '../protocol/frames';
import { type Identity, parseIdentity } from '../protocol/psk';
import { type Channel, type ChannelEnd, openChannel } from './channel';
import { pskOptions } from './tls-options';

/** What the server does with a connection whose peer has proved its identity. */
export interface PeerHandlers {
  readonly onFrame: (frame: AnyFrame) => void;
  readonly onClose: (end: ChannelEnd) => void;
}

export interface ControlServerOptions {
  /** `address:port` to listen on. */
  readonly listen: string;
  /** The pre-shared key of an identity; undefined for one that is not ours. */
  readonly secretOf: (identity: Identity) => Uint8Array | undefined;
  readonly onPeer: (identity: Identity, channel: Channel<FromSeed>) => PeerHandlers;
  /** A peer that did not get in: once per address and minute. */
  readonly onRejected: (peer: string, reason: string) => void;
  readonly heartbeat?: number;
  readonly maxQueued?: number;
  /** Milliseconds in which a peer has to prove who it is. Default 5,000. */
  readonly handshakeTimeout?: number;
}

export interface ControlServer {
  /** `address:port` that is really listened on. */
  readonly address: string;
  /** Stops listening and closes every connection. */
  close(): Promise<void>;
}

/** Connections that have not proved who they are. More are closed at once. */
const MAX_HANDSHAKES = 512;

/** Listens for supervisors and operators. @throws the error of listen(2) */
export async function listenControl(options: ControlServerOptions): Promise<ControlServer> {
  /** By TLS socket: who its peer has claimed to be, and the parsed claim when it may be one of ours. */
  const claims = new WeakMap<object, { readonly text: string; readonly identity?: Identity }>();
  const sockets = new Set<TLSSocket>();
  const handshakes = new Map<string, Socket>();
  const rejected = rateLimited(options.onRejected);

  const server = createServer({
    ...pskOptions(),
    handshakeTimeout: options.handshakeTimeout ?? 5_000,
    pskCallback: (socket, text) => {
      const identity = parseIdentity(text);
      const secret = identity && options.secretOf(identity);
      claims.set(socket, { text, identity: secret && identity });
      // An unknown identity fails exactly as a wrong key does: names of hosts are not for strangers to find out.
      return secret ?? randomBytes(32);
    },
  });
  server.on('connection', (socket) => {
    if (handshakes.size >= MAX_HANDSHAKES) {
      rejected(socket.remoteAddress ?? 'unknown', `${handshakes.size} other connections are in their handshake`);
      socket.destroy();
      return;
    }
    const key = endpoint(socket);
    handshakes.set(key, socket);
    socket.once('close', () => handshakes.delete(key));
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const claim = claims.get(socket);
    // One that comes and goes without a word (a port scan, a health check) is not worth a line.
    if (claim || error.code !== 'ECONNRESET') {
      const who = claim ? ` as '${claim.text.slice(0, 80)}'` : '';
      rejected(socket.remoteAddress ?? 'unknown', `no handshake${who}: ${error.code ?? error.message}`);
    }
    socket.destroy();
  });
  server.on('secureConnection', (socket) => {
    handshakes.delete(endpoint(socket));
    const identity = claims.get(socket)?.identity;
    if (!identity) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    let handlers: PeerHandlers | undefined;
    const channel = openChannel<AnyFrame, FromSeed>(socket, {
      heartbeat: options.heartbeat,
      maxQueued: options.maxQueued,
      onFrame: (frame) => handlers?.onFrame(frame),
      onClose: (end) => handlers?.onClose(end),
    });
    handlers = options.onPeer(identity, channel);
  });

  const colon = options.listen.lastIndexOf(':');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(options.listen.slice(colon + 1)), options.listen.slice(0, colon), 1024, resolve);
  });
  const bound = server.address() as { address: string; port: number };
  return {
    address: `${bound.address}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of [...sockets, ...handshakes.values()]) socket.destroy();
      }),
  };
}

function endpoint(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
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
