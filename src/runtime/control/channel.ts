import type { TLSSocket } from 'node:tls';
import { encodeFrame, FrameError, frameDecoder, HEARTBEAT, MAX_FRAME_BYTES } from '../../contract/control/frame-codec';

/** Why a channel ended. `error` says what we found wrong with it; absent when either side closed it in good order. */
export interface ChannelEnd {
  readonly by: 'us' | 'peer' | 'error';
  readonly error?: { readonly code: 'bad-frame' | 'slow' | 'dead' | 'broken'; readonly message: string };
}

/** One TLS connection of the control network that carries frames. Used by both sides. */
export interface Channel<Out> {
  /** Address of the other side. */
  readonly peer: string;
  /** Our own end. */
  readonly local: { readonly address: string; readonly port: number };
  readonly peerPort: number;
  readonly open: boolean;
  /** Bytes that wait for the peer to read. */
  readonly queued: number;
  /** Bytes that it was sent so far, with those that wait. */
  readonly sent: number;
  /** Queues a frame. False: the channel is closed (or was just closed, because the peer does not read). */
  send(frame: Out): boolean;
  /** The same for a frame that is encoded already (by `frameEncoder`). */
  sendEncoded(parts: readonly Buffer[]): boolean;
  /** Resolves when little is queued any more or the channel is closed: for senders of long streams. */
  drained(): Promise<void>;
  /** Sends what is queued, then closes. Resolves when the connection is closed, after `timeout` ms at the latest. */
  end(timeout?: number): Promise<void>;
  /** Closes at once. */
  destroy(): void;
  /** The same, because a frame of the peer is not what it should be: `message` says why. */
  fault(message: string): void;
}

export interface ChannelOptions<In> {
  readonly onFrame: (frame: In) => void;
  readonly onClose: (end: ChannelEnd) => void;
  /** Bytes that may wait for a peer that does not read, besides one frame. Default 1 MiB. */
  readonly maxQueued?: number;
  /** Bytes that one frame of the peer may have. Default 8 MiB. */
  readonly maxFrame?: number;
  /**
   * Frames that the peer may send in a second; what is more is not read until its time has come. A long one counts as one for each
   * 512 bytes. Default: any number.
   */
  readonly maxRate?: number;
  /** Milliseconds between signs of life. Default 5,000. */
  readonly heartbeat?: number;
}

/** Silent for this many heartbeats: dead. */
const DEAD_AFTER = 3;
/**
 * What is written at once. A TLS socket of Node.js begins with a buffer of 1 KiB (`NodeBIO` in its source); once a record does not
 * fit, it keeps one of at least 16 KiB for as long as it is open. With a welcome in one piece, a seed would need as much more for
 * each of its hosts as the welcome is long.
 */
const SLICE = 900;
/** Bytes of a frame that count as one. */
const COUNTED = 512;
/** Milliseconds for which a peer that sends too fast is not read, at least. */
const HOLD = 20;

export function openChannel<In, Out>(socket: TLSSocket, options: ChannelOptions<In>): Channel<Out> {
  const maxQueued = options.maxQueued ?? 1024 * 1024;
  let end: ChannelEnd | undefined;
  let wrote = false;
  let silent = 0;
  /** What waits for the slices before it. */
  const slices: Buffer[] = [];
  let sliced = 0;
  let sent = 0;
  let flushing = false;
  const onFlushed: Array<() => void> = [];

  const flush = () => {
    const next = socket.destroyed ? undefined : slices.shift();
    flushing = next !== undefined;
    if (!next) {
      for (const done of onFlushed.splice(0)) done();
      return;
    }
    sliced -= next.length;
    socket.write(next, flush);
  };
  const write = (bytes: Buffer): true => {
    wrote = true;
    sent += bytes.length;
    if (!flushing && bytes.length <= SLICE) {
      socket.write(bytes);
      return true;
    }
    for (let at = 0; at < bytes.length; at += SLICE) slices.push(bytes.subarray(at, at + SLICE));
    sliced += bytes.length;
    if (!flushing) flush();
    return true;
  };
  const flushed = () =>
    new Promise<void>((resolve) => {
      if (flushing) onFlushed.push(resolve);
      else socket.once('drain', resolve);
    });
  const queued = () => sliced + socket.writableLength;

  const finish = (reason: ChannelEnd) => {
    end ??= reason;
    socket.destroy();
  };
  const fault = (code: NonNullable<ChannelEnd['error']>['code'], message: string) =>
    finish({ by: 'error', error: { code, message } });

  const maySend = (): boolean => {
    if (end || !socket.writable) return false;
    if (queued() <= maxQueued) return true;
    fault('slow', `${queued()} bytes wait for a peer that does not read; allowed: ${maxQueued}`);
    return false;
  };

  const maxRate = options.maxRate ?? Number.MAX_SAFE_INTEGER;
  /** Frames that may come now; it grows with time, to `maxRate` at most. */
  let credit = maxRate;
  let creditedAt = performance.now();
  let holding: NodeJS.Timeout | undefined;
  const keepPace = () => {
    const now = performance.now();
    credit = Math.min(maxRate, credit + ((now - creditedAt) * maxRate) / 1_000);
    creditedAt = now;
    if (credit >= 0) return;
    socket.pause();
    holding = setTimeout(
      () => {
        holding = undefined;
        socket.resume();
      },
      Math.max(HOLD, (-credit * 1_000) / maxRate),
    );
  };

  const decode = frameDecoder((frame, length) => {
    credit -= Math.max(1, length / COUNTED);
    if (!end) options.onFrame(frame as In);
  }, options.maxFrame ?? MAX_FRAME_BYTES);
  socket.on('data', (chunk: Buffer) => {
    silent = 0;
    if (end) return;
    try {
      decode(chunk);
    } catch (error) {
      // A frame that its handler was not written for is the peer's fault too, and costs nobody else anything.
      const { message, stack } = error as Error;
      fault('bad-frame', error instanceof FrameError ? message : `a frame could not be handled: ${stack}`);
    }
    keepPace();
  });
  // Beats are counted, not measured: after a stall or a freeze of this very process one beat is due, not all of them.
  const timer = setInterval(() => {
    // Nobody can be heard whom we do not listen to.
    if (holding) silent = 0;
    if (++silent > DEAD_AFTER) return fault('dead', `no sign of life for ${silent - 1} heartbeats`);
    if (!wrote) write(HEARTBEAT);
    wrote = false;
  }, options.heartbeat ?? 5_000);
  timer.unref();
  socket.on('end', () => finish({ by: 'peer' }));
  socket.on('error', (error) => fault('broken', error.message));
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      clearInterval(timer);
      clearTimeout(holding);
      end ??= { by: 'peer' };
      resolve();
      options.onClose(end);
    });
  });

  return {
    peer: socket.remoteAddress ?? '',
    local: { address: socket.localAddress ?? '', port: socket.localPort ?? 0 },
    peerPort: socket.remotePort ?? 0,
    get open() {
      return end === undefined && socket.writable;
    },
    get queued() {
      return queued();
    },
    get sent() {
      return sent;
    },
    send: (frame) => maySend() && write(encodeFrame(frame as { type: string })),
    sendEncoded: (parts) => maySend() && parts.every(write),
    drained: () => {
      if (end || queued() < maxQueued / 4) return Promise.resolve();
      return Promise.race([closed, flushed()]);
    },
    end: async (timeout = 1_000) => {
      if (!end) {
        end = { by: 'us' };
        if (flushing) onFlushed.push(() => socket.end());
        else socket.end();
        // The peer closes its half in turn; one that does not must not hold us up.
        const limit = setTimeout(() => socket.destroy(), timeout);
        await closed;
        clearTimeout(limit);
      }
      await closed;
    },
    destroy: () => finish({ by: 'us' }),
    fault: (message) => fault('bad-frame', message),
  };
}
