/**
 * How datagrams get to hosts that guests' own sockets do not reach: by one connection per pair of members, punched or relayed,
 * with TLS by a key that both have from the seed. It works wherever connections do, also where UDP is blocked. What does not fit
 * into it is lost, as datagrams may be.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { parseAddress } from '../../../contract/manifest/address';
import type { Purpose, Sender } from '../../../contract/peer/peer-messages';
import type { Guard } from '../../control/guard';
import { pskOptions } from '../../control/tls-options';
import { createHanded } from './handed';

export interface Datagram {
  /** Ports as guests know them. */
  readonly sourcePort: number;
  readonly port: number;
  readonly data: Buffer;
}

export interface LinksOptions {
  readonly guard: Guard;
  /** A connection to the host with this virtual address, for this purpose: its descriptor. @throws Error when there is none */
  readonly dial: (address: number, purpose: Purpose) => Promise<number>;
  /** From the host with that virtual address. */
  readonly onDatagram: (address: number, datagram: Datagram) => void;
  readonly onFailure: (address: number, reason: string) => void;
  /** Milliseconds in which the other side of a connection must prove itself. Default 5,000. */
  readonly proofLimit?: number;
}

export interface Links {
  send(address: number, datagram: Datagram): void;
  /** The other side of `dial`. */
  accept(from: Sender, key: string, descriptor: number): void;
  drop(address: number): void;
  clear(): void;
}

interface Link {
  /** Undefined while it is being made. */
  socket?: TLSSocket;
  /** What waits for that. */
  waiting: Buffer[];
  bytes: number;
}

/** Per host: about what Linux keeps for an unresolved neighbour. */
const MOST_WAITING = 256;
const MOST_BYTES = 512 * 1024;
/** Quiet for so long: closed, before NATs forget it. */
const IDLE = 120_000;
/** After a failure nothing is tried again for so long. */
const RETRY_AFTER = 1_000;
const IDENTITY = 'datagrams';
/** Source port, port, length; big-endian. */
const HEADER = 6;

export function createLinks(options: LinksOptions): Links {
  const links = new Map<number, Link>();
  const failed = new Map<number, number>();
  /** Every connection, also before its other side has proved itself. */
  const handed = createHanded<number>(options.proofLimit);

  const take = (address: number, descriptor: number) => handed.take(address, descriptor).setNoDelay(true);

  const write = (socket: TLSSocket, bytes: Buffer) => {
    if (socket.writableLength < MOST_BYTES) socket.write(bytes);
  };

  const serve = (address: number, socket: TLSSocket, raw: Socket) => {
    handed.proved(raw);
    const decode = decoder((datagram) => options.onDatagram(address, datagram));
    const end = () => socket.destroy();
    socket.on('data', (chunk: Buffer) => options.guard("another member's datagrams", () => decode(chunk), end));
    socket.setTimeout(IDLE, () => socket.destroy());
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      if (links.get(address)?.socket === socket) links.delete(address);
    });
    const before = links.get(address);
    // Two that meet in the middle serve both; the last one is used.
    links.set(address, { socket, waiting: [], bytes: 0 });
    for (const bytes of before?.waiting ?? []) write(socket, bytes);
  };

  const open = async (address: number, link: Link) => {
    const key = randomBytes(32);
    const raw = take(address, await options.dial(address, { for: 'datagrams', key: key.toString('base64') }));
    const pskCallback = () => ({ psk: key, identity: IDENTITY });
    const socket = connectTls({ ...pskOptions(), socket: raw, pskCallback, checkServerIdentity: () => undefined });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.on('error', reject);
      socket.once('close', () => reject(new Error('the other side closed the connection')));
    });
    if (links.get(address) === link) serve(address, socket, raw);
    else socket.destroy();
  };

  const begin = (address: number): Link | undefined => {
    if ((failed.get(address) ?? 0) > performance.now()) return undefined;
    failed.delete(address);
    const link: Link = { waiting: [], bytes: 0 };
    links.set(address, link);
    open(address, link).catch((error: Error) => {
      if (links.get(address) !== link) return;
      links.delete(address);
      failed.set(address, performance.now() + RETRY_AFTER);
      options.onFailure(address, error.message);
    });
    return link;
  };

  const drop = (address: number) => {
    const link = links.get(address);
    links.delete(address);
    failed.delete(address);
    // What was sent goes out.
    link?.socket?.end();
  };

  return {
    send: (address, datagram) => {
      const link = links.get(address) ?? begin(address);
      if (!link) return;
      const bytes = encode(datagram);
      if (link.socket) return write(link.socket, bytes);
      if (link.waiting.length >= MOST_WAITING || link.bytes + bytes.length > MOST_BYTES) return;
      link.waiting.push(bytes);
      link.bytes += bytes.length;
    },
    accept: (from, key, descriptor) => {
      const address = parseAddress(from.address)!;
      const raw = take(address, descriptor);
      const psk = Buffer.from(key, 'base64');
      const pskCallback = (_socket: unknown, identity: string) => (identity === IDENTITY ? psk : null);
      const settings = { ...pskOptions(), isServer: true, pskCallback };
      const end = () => raw.destroy();
      const begin = () => {
        const socket = new TLSSocket(raw, settings);
        socket.on('error', () => socket.destroy());
        const ready = () => serve(address, socket, raw);
        socket.once('secure', () => options.guard("another member's datagrams", ready, end));
      };
      options.guard("another member's datagrams", begin, end);
    },
    drop,
    clear: () => {
      links.clear();
      handed.clear();
    },
  };
}

function encode({ sourcePort, port, data }: Datagram): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER + data.length);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt16BE(data.length, 4);
  data.copy(bytes, HEADER);
  return bytes;
}

/** Takes bytes as they come. It holds no more than one datagram and one chunk. */
function decoder(onDatagram: (datagram: Datagram) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
    let at = 0;
    while (held.length - at >= HEADER) {
      const end = at + HEADER + held.readUInt16BE(at + 4);
      if (held.length < end) break;
      const [sourcePort, port] = [held.readUInt16BE(at), held.readUInt16BE(at + 2)];
      onDatagram({ sourcePort, port, data: held.subarray(at + HEADER, end) });
      at = end;
    }
    held = held.subarray(at);
  };
}
