/** A guest's datagram on a peer link: a binary frame with two ports, big-endian, and the data. */
import { encodeBytes } from '../control/frame-codec';

export interface Datagram {
  /** Ports as guests know them. */
  readonly sourcePort: number;
  readonly port: number;
  readonly data: Buffer;
}

const HEADER = 4;

export function encodeDatagram({ sourcePort, port, data }: Datagram): Buffer {
  const header = Buffer.allocUnsafe(HEADER);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(port, 2);
  return encodeBytes(header, data);
}

/** @throws RangeError when the bytes are too few */
export function decodeDatagram(bytes: Buffer): Datagram {
  return { sourcePort: bytes.readUInt16BE(0), port: bytes.readUInt16BE(2), data: bytes.subarray(HEADER) };
}
