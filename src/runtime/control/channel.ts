import type { TLSSocket } from 'node:tls';
import {
  type AnyFrame,
  encodeFrame,
  FrameError,
  frameDecoder,
  HEARTBEAT,
  MAX_FRAME_BYTES,
} from '../../contract/control/frame-codec';
import { Outbox } from './outbox';
import { Pace } from './pace';

/** Why a channel ended. `error`: the fault; absent when either side closed it in good order. */
export interface ChannelEnd {
  readonly by: 'us' | 'peer' | 'error';
  readonly error?: { readonly code: 'bad-frame' | 'slow' | 'dead' | 'broken'; readonly message: string };
}

export interface ChannelHandlers {
  readonly onFrame: (frame: AnyFrame) => void;
  readonly onClose: (end: ChannelEnd) => void;
  /** Where binary frames are allowed at all (`ChannelOptions`). Absent: they go to the one that was there first. */
  readonly onBytes?: (bytes: Buffer) => void;
  /** Others have been put in the place of these. */
  readonly onPassed?: () => void;
}

export interface ChannelOptions extends ChannelHandlers {
  /** Absent: a binary frame is a fault of the peer. */
  readonly onBytes?: (bytes: Buffer) => void;
  /** Bytes that may wait for a peer that does not read, besides one frame. Default 1 MiB. */
  readonly maxQueued?: number;
  /** Bytes that one frame of the peer may have. Default 8 MiB. */
  readonly maxFrame?: number;
  /**
   * Frames that the peer may send in a second; further ones are not read until their time has come. A long one counts
   * as one for each 512 bytes. Default: any number.
   */
  readonly maxRate?: number;
  /** Milliseconds between signs of life. Default 5,000. */
  readonly heartbeat?: number;
  /** Heartbeats after which a silent peer is dead. Default 3. */
  readonly deadAfter?: number;
  /** Called before anything is taken from the peer or sent to it. It throws, or does not return, where neither may be. */
  readonly check?: () => void;
}

/** Silent for this many heartbeats: dead. */
const DEAD_AFTER = 3;
/** Milliseconds. */
const HEARTBEAT_INTERVAL = 5_000;

/** One TLS connection that carries frames. Used by both sides of the control network, and by peer links. */
export class Channel<Out extends AnyFrame> {
  /** Address of the other side. */
  readonly peer: string;
  /** Our own end. */
  readonly local: { readonly address: string; readonly port: number };
  readonly peerPort: number;
  readonly #outbox: Outbox;
  readonly #pace: Pace;
  readonly #maxQueued: number;
  readonly #closed: Promise<void>;
  readonly #deadAfter: number;
  readonly #check: () => void;
  #handlers: ChannelHandlers;
  #heartbeat: number;
  #beats: NodeJS.Timeout | undefined;
  #end: ChannelEnd | undefined;
  /** Heartbeats since the peer was heard. */
  #silent = 0;
  /** Bytes that were sent at the last heartbeat. */
  #sentBefore = 0;

  constructor(
    private readonly socket: TLSSocket,
    options: ChannelOptions,
  ) {
    this.#outbox = new Outbox(socket);
    this.#pace = new Pace(socket, options.maxRate);
    this.#maxQueued = options.maxQueued ?? 1024 * 1024;
    this.peer = socket.remoteAddress ?? '';
    this.local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    this.peerPort = socket.remotePort ?? 0;
    this.#deadAfter = options.deadAfter ?? DEAD_AFTER;
    this.#check = options.check ?? (() => undefined);
    this.#handlers = options;
    this.#heartbeat = options.heartbeat ?? HEARTBEAT_INTERVAL;
    this.#read(options);
    this.beat();
    socket.on('end', () => this.#finish({ by: 'peer' }));
    socket.on('error', (error) => this.#fault('broken', error.message));
    this.#closed = new Promise<void>((resolve) => {
      socket.once('close', () => {
        this.rest();
        this.#pace.stop();
        this.#end ??= { by: 'peer' };
        resolve();
        this.#handlers.onClose(this.#end);
      });
    });
  }

  get open(): boolean {
    return this.#end === undefined && this.socket.writable;
  }

  /** Bytes that wait for the peer to read. */
  get queued(): number {
    return this.#outbox.queued;
  }

  /** Bytes that it was sent so far, with those that wait. */
  get sent(): number {
    return this.#outbox.sent;
  }

  /** Queues a frame. False: the channel is closed (or was just closed, because the peer does not read). */
  send(frame: Out): boolean {
    const can = this.#canSend();
    if (can) this.#outbox.write(encodeFrame(frame));
    return can;
  }

  /** The same for a frame that is encoded already (by `frameEncoder`). */
  sendEncoded(parts: readonly Buffer[]): boolean {
    const can = this.#canSend();
    if (can) for (const part of parts) this.#outbox.write(part);
    return can;
  }

  /** Queues a binary frame (`encodeBytes`), which lets other frames go first and is lost when too many wait. */
  offer(bytes: Buffer): void {
    if (!this.open) return;
    this.#check();
    this.#outbox.offer(bytes);
  }

  /** Resolves when little is queued any more or the channel is closed: for senders of long streams. */
  drained(): Promise<void> {
    if (this.#end || this.queued < this.#maxQueued / 4) return Promise.resolve();
    return Promise.race([this.#closed, this.#outbox.flushed()]);
  }

  /** Sends what is queued, then closes. Resolves when the connection is closed, after `timeout` ms at the latest. */
  async end(timeout = 1_000): Promise<void> {
    if (!this.#end) {
      this.#end = { by: 'us' };
      this.#outbox.end();
      // The peer closes its half in turn; one that does not must not hold us up.
      const limit = setTimeout(() => this.socket.destroy(), timeout);
      await this.#closed;
      clearTimeout(limit);
    }
    await this.#closed;
  }

  /** From now on so many milliseconds are between signs of life. Absent: as many as by default. */
  expectEvery(heartbeat = HEARTBEAT_INTERVAL): void {
    this.#heartbeat = heartbeat;
    this.beat();
  }

  /** No signs of life are sent or expected any more, until `beat`: the peer may stand still. */
  rest(): void {
    clearInterval(this.#beats);
    this.#beats = undefined;
  }

  beat(): void {
    this.rest();
    this.#silent = 0;
    if (!this.#end) this.#beats = setInterval(() => this.#beat(), this.#heartbeat).unref();
  }

  get resting(): boolean {
    return this.#beats === undefined;
  }

  /** From now on what comes, and its end, are for these. */
  passTo(handlers: ChannelHandlers): void {
    this.#handlers.onPassed?.();
    this.#handlers = handlers;
  }

  /** The number of its socket; undefined once it is closed. */
  get descriptor(): number | undefined {
    const { _handle: handle } = this.socket as TLSSocket & { readonly _handle?: { readonly fd: number } | null };
    return handle && handle.fd >= 0 ? handle.fd : undefined;
  }

  /** Closes at once. */
  readonly destroy = (): void => this.#finish({ by: 'us' });

  /** The same, because nothing gets through to the peer: `message` has the reason. */
  dead(message: string): void {
    this.#fault('dead', message);
  }

  /** The same, because a frame of the peer is wrong: `message` has the reason. */
  fault(message: string): void {
    this.#fault('bad-frame', message);
  }

  #read({ onBytes, maxFrame = MAX_FRAME_BYTES }: ChannelOptions): void {
    const decode = frameDecoder(
      (frame, length) => {
        this.#pace.count(length);
        if (!this.#end) this.#handlers.onFrame(frame);
      },
      maxFrame,
      onBytes && ((bytes) => !this.#end && (this.#handlers.onBytes ?? onBytes)(bytes)),
    );
    this.socket.on('data', (chunk: Buffer) => {
      this.#silent = 0;
      if (this.#end) return;
      this.#check();
      try {
        decode(chunk);
      } catch (error) {
        // A frame that its handler was not written for is the peer's fault too, and costs nobody else anything.
        const { message, stack } = error as Error;
        this.fault(error instanceof FrameError ? message : `a frame could not be handled: ${stack}`);
      }
      this.#pace.keep();
    });
  }

  /**
   * Beats are counted, not measured: after a stall or a freeze of this very process one beat is due, not all of them.
   */
  #beat(): void {
    // A peer that is not read cannot be heard.
    if (this.#pace.holding) this.#silent = 0;
    this.#check();
    if (++this.#silent > this.#deadAfter) {
      this.#fault('dead', `no sign of life for ${this.#silent - 1} heartbeats`);
      return;
    }
    if (this.sent === this.#sentBefore) this.#outbox.write(HEARTBEAT);
    this.#sentBefore = this.sent;
  }

  #canSend(): boolean {
    if (!this.open) return false;
    this.#check();
    const { queued } = this;
    if (queued <= this.#maxQueued) return true;
    this.#fault('slow', `${queued} bytes wait for a peer that does not read; allowed: ${this.#maxQueued}`);
    return false;
  }

  #fault(code: NonNullable<ChannelEnd['error']>['code'], message: string): void {
    this.#finish({ by: 'error', error: { code, message } });
  }

  #finish(reason: ChannelEnd): void {
    this.#end ??= reason;
    this.socket.destroy();
  }
}
