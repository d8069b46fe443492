/**
 * Frames of the control network and of peer links: u32 big-endian length, then that many bytes of UTF-8 JSON. Length 0
 * carries no frame: it is a sign of life. A binary frame begins with a byte of 0, which no JSON does. No I/O here.
 */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;

/** A sign of life on an otherwise quiet connection. */
export const HEARTBEAT = Buffer.alloc(4);

/** The bytes are not frames. The connection they came from is of no use any more. */
export class FrameError extends Error {
  constructor(
    readonly code: 'too-long' | 'not-json' | 'no-type',
    message: string,
  ) {
    super(message);
    this.name = 'FrameError';
  }
}

export function encodeFrame(frame: { readonly type: string }): Buffer {
  const text = JSON.stringify(frame);
  const length = Buffer.byteLength(text);
  if (length > MAX_FRAME_BYTES) {
    throw new FrameError('too-long', `a '${frame.type}' frame of ${length} bytes; allowed: ${MAX_FRAME_BYTES}`);
  }
  const bytes = Buffer.allocUnsafe(4 + length);
  bytes.writeUInt32BE(length, 0);
  bytes.write(text, 4, 'utf8');
  return bytes;
}

const BINARY = 0;

/** A binary frame with these bytes. */
export function encodeBytes(...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(5, BINARY), ...parts]);
  bytes.writeUInt32BE(bytes.length - 4, 0);
  return bytes;
}

/**
 * An encoder for frames that differ in little and share a large part, the field `name`: that is encoded once, here, and
 * never copied.
 * @returns encodes a frame that has all the other fields, at least one, into parts to be sent one after the other
 */
export function frameEncoder(name: string, shared: unknown): (rest: { readonly type: string }) => readonly Buffer[] {
  const tail = Buffer.from(`,${JSON.stringify(name)}:${JSON.stringify(shared)}}`);
  return (rest) => {
    const text = JSON.stringify(rest).slice(0, -1);
    const head = Buffer.allocUnsafe(4 + Buffer.byteLength(text));
    const length = head.length - 4 + tail.length;
    if (length > MAX_FRAME_BYTES) {
      throw new FrameError('too-long', `a '${rest.type}' frame of ${length} bytes; allowed: ${MAX_FRAME_BYTES}`);
    }
    head.writeUInt32BE(length, 0);
    head.write(text, 4, 'utf8');
    return [head, tail];
  };
}

/** A decoded frame: an object with a `type`. What else it holds is for the reader to check. */
export interface AnyFrame {
  readonly type: string;
}

/**
 * An incremental decoder: takes the bytes as they come, however they are split, and calls `onFrame` for each whole
 * frame, with its length. It holds no more than the bytes of one frame that have arrived.
 * @param onBytes for binary frames; absent: they are refused
 * @returns push; throws FrameError, and must not be called again after that
 */
export function frameDecoder(
  onFrame: (frame: AnyFrame, length: number) => void,
  maxBytes: number = MAX_FRAME_BYTES,
  onBytes?: (bytes: Buffer) => void,
): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let held = 0;
  /** Length of the frame being read; undefined while its header is incomplete. */
  let length: number | undefined;

  const take = (count: number): Buffer => {
    // Joined once per frame, not once per chunk: a frame that comes byte by byte stays linear.
    const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, held);
    held -= count;
    chunks = held > 0 ? [all.subarray(count)] : [];
    return all.subarray(0, count);
  };

  return (chunk) => {
    if (chunk.length === 0) return;
    chunks.push(chunk);
    held += chunk.length;
    for (;;) {
      if (length === undefined) {
        if (held < 4) return;
        length = take(4).readUInt32BE(0);
        if (length > maxBytes) throw new FrameError('too-long', `a frame of ${length} bytes; allowed: ${maxBytes}`);
      }
      if (held < length) return;
      const body = take(length);
      length = undefined;
      if (body.length === 0) continue;
      if (onBytes && body[0] === BINARY) onBytes(body.subarray(1));
      else onFrame(parse(body), body.length);
    }
  };
}

function parse(body: Buffer): AnyFrame {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new FrameError('not-json', `a frame that is not JSON: ${JSON.stringify(body.toString('latin1', 0, 40))}`);
  }
  if (typeof value === 'object' && value !== null && typeof (value as AnyFrame).type === 'string')
    return value as AnyFrame;
  throw new FrameError('no-type', `a frame without a type: ${body.toString('utf8', 0, 40)}`);
}
