import type { TLSSocket } from 'node:tls';
import { encodeFrame, FrameError, frameDecoder, HEARTBEAT } from '../protocol/frame-codec';

/** Why a channel ended. `error` says what we found wrong with it; absent when either side closed it in good order. */
export interface ChannelEnd {
  readonly by: 'us' | 'peer' | 'error';
  readonly error?: { readonly code: 'bad-frame' | 'slow' | 'dead' | 'broken'; readonly message: string };
}

/** One TLS connection of the control network that carries frames. Used by both sides. */
export interface Channel<Out> {
  /** Address of the other side. */
  readonly peer: string;
  readonly open: boolean;
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
}

export interface ChannelOptions<In> {
  readonly onFrame: (frame: In) => void;
  readonly onClose: (end: ChannelEnd) => void;
  /** Bytes that may wait for a peer that does not read, besides one frame. Default 1 MiB. */
  readonly maxQueued?: number;
  /** Milliseconds between signs of life. Default 5,000. */
  readonly heartbeat?: number;
}

/** Silent for this many heartbeats: dead. */
const DEAD_AFTER = 3;
/**
 * What is written at once. A TLS socket keeps a buffer as large as its largest write for as long as it is open: with a large
 * welcome in one piece, a seed would need 100 KB more for each of its hosts.
 */
const SLICE = 4 * 1024;

export function openChannel<In, Out>(socket: TLSSocket, options: ChannelOptions<In>): Channel<Out> {
  const maxQueued = options.maxQueued ?? 1024 * 1024;
  let end: ChannelEnd | undefined;
  let wrote = false;
  let silent = 0;
  /** What waits for the slices before it. */
  const slices: Buffer[] = [];
  let sliced = 0;
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

  const decode = frameDecoder((frame) => {
    if (!end) options.onFrame(frame as In);
  });
  socket.on('data', (chunk: Buffer) => {
    silent = 0;
    if (end) return;
    try {
      decode(chunk);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      fault('bad-frame', error.message);
    }
  });
  // Beats are counted, not measured: after a stall or a freeze of this very process one beat is due, not all of them.
  const timer = setInterval(() => {
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
      end ??= { by: 'peer' };
      resolve();
      options.onClose(end);
    });
  });

  return {
    peer: socket.remoteAddress ?? '',
    get open() {
      return end === undefined && socket.writable;
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
  };
}
