/** A client's end of TLS: its handshake, and then its bytes in plain, to and from a socket whose other end the data port has. */
import { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';

export interface TlsEndHandlers {
  /** Once. `problem`: why it failed; then the client is reset. */
  onHandshakeEnd(problem: string | undefined): void;
  /** After it. @returns the descriptor of a TCP socket that takes what the client says; -1: the client is reset */
  onSecure(): number;
  /** Once: the client's connection is over, whoever has ended it. */
  onEnd(): void;
}

/** Milliseconds for a handshake. */
export const HANDSHAKE_LIMIT = 5_000;
/** Milliseconds without progress in which a client may still fetch what is left, once its connection in plain is over. */
const LEFT_LIMIT = 60_000;
const PROTOCOLS = ['http/1.1'];

export class TlsEnd {
  readonly #raw: Socket;
  readonly #client: TLSSocket;
  readonly #handlers: TlsEndHandlers;
  readonly #timer: NodeJS.Timeout;
  #plain: Socket | undefined;
  #shaking = true;

  /** @param descriptor the client's TCP socket, from which nothing was read; it is closed with this */
  constructor(descriptor: number, context: SecureContext, handlers: TlsEndHandlers, limit = HANDSHAKE_LIMIT) {
    this.#handlers = handlers;
    this.#raw = new Socket({ fd: descriptor, allowHalfOpen: true });
    this.#client = new TLSSocket(this.#raw, { isServer: true, secureContext: context, ALPNProtocols: PROTOCOLS });
    this.#timer = setTimeout(() => this.#fail('the TLS handshake takes too long'), limit);
    this.#raw.on('error', () => this.#fail('the client has left during the TLS handshake'));
    this.#client.on('error', (error: NodeJS.ErrnoException) => this.#fail(`the TLS handshake failed: ${error.code}`));
    this.#client.once('end', () => this.#shaking && this.#fail('the client has left during the TLS handshake'));
    this.#client.once('secure', () => this.#onSecure());
    this.#client.once('close', () => this.#onClose());
  }

  /** Both sides are reset. */
  reset(): void {
    if (!this.#raw.destroyed) this.#raw.resetAndDestroy();
    this.#client.destroy();
    if (this.#plain && !this.#plain.destroyed) this.#plain.resetAndDestroy();
  }

  #fail(problem: string): void {
    this.#shaken(problem);
    this.reset();
  }

  #shaken(problem?: string): void {
    if (!this.#shaking) return;
    this.#shaking = false;
    clearTimeout(this.#timer);
    this.#handlers.onHandshakeEnd(problem);
  }

  #onSecure(): void {
    if (!this.#shaking) return;
    this.#shaken();
    const descriptor = this.#handlers.onSecure();
    if (descriptor < 0) this.reset();
    else this.#speak(descriptor);
  }

  /** What waits for either side is bounded by the streams' high-water marks, besides what the kernel keeps. */
  #speak(descriptor: number): void {
    const plain = new Socket({ fd: descriptor, allowHalfOpen: true });
    this.#plain = plain;
    plain.on('error', () => this.reset());
    // Nobody speaks to the client any more.
    plain.once('close', () => this.#raw.setTimeout(LEFT_LIMIT, () => this.reset()));
    this.#client.pipe(plain);
    plain.pipe(this.#client);
  }

  #onClose(): void {
    this.#shaken('the client has left during the TLS handshake');
    // What has ended otherwise than in order is no end for the guest either.
    if (this.#plain && !this.#plain.destroyed && !this.#plain.writableFinished) this.#plain.resetAndDestroy();
    this.#handlers.onEnd();
  }
}
