/** DNS over TCP: each message behind its length. */

export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Takes what comes in, in whatever pieces, and passes on whole messages. */
export function frames(onMessage: (message: Buffer) => void): (piece: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (piece) => {
    held = held.length > 0 ? Buffer.concat([held, piece]) : piece;
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE()) {
      const end = 2 + held.readUInt16BE();
      const message = held.subarray(2, end);
      held = held.subarray(end);
      onMessage(message);
    }
  };
}
