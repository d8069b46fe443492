/**
 * A datagram of a client from outside, or a guest's answer to it: a binary frame between the seed and a host. Big-endian:
 * the client's address and port, the host's port, the idle time-out of their flow, and the data.
 */
import { encodeBytes } from './frame-codec';

export interface OutsideDatagram {
  /** The client's. */
  readonly address: number;
  readonly port: number;
  /** As the guest knows it. */
  readonly hostPort: number;
  /** Milliseconds. In an answer 0: the seed knows it. */
  readonly idle: number;
  readonly data: Buffer;
}

const HEADER = 12;

export function encodeOutside({ address, port, hostPort, idle, data }: OutsideDatagram): Buffer {
  const header = Buffer.allocUnsafe(HEADER);
  header.writeUInt32BE(address, 0);
  header.writeUInt16BE(port, 4);
  header.writeUInt16BE(hostPort, 6);
  header.writeUInt32BE(idle, 8);
  return encodeBytes(header, data);
}

/** @throws RangeError when the bytes are too few */
export function decodeOutside(bytes: Buffer): OutsideDatagram {
  return {
    address: bytes.readUInt32BE(0),
    port: bytes.readUInt16BE(4),
    hostPort: bytes.readUInt16BE(6),
    idle: bytes.readUInt32BE(8),
    data: bytes.subarray(HEADER),
  };
}
