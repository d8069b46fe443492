/**
 * Connections for peer links, also before the other side has proved itself. A member may request them at will, so each
 * has a deadline for the proof, and a member has a few at most: the newest stay.
 */
import { Socket } from 'node:net';

/** Milliseconds for the handshake. */
const PROOF_LIMIT = 5_000;
/** Of one member. Two members that open their link at the same moment have one each, and may be replacing them. */
const MOST = 4;

export class MemberConnections {
  /** By virtual address. */
  readonly #all = new Map<number, Set<Socket>>();
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(readonly proofLimit = PROOF_LIMIT) {}

  /** The connection, which is closed unless `proved` is called in time. */
  take(address: number, descriptor: number): Socket {
    const socket = new Socket({ fd: descriptor, readable: true, writable: true });
    const own = this.#all.get(address) ?? new Set();
    this.#all.set(address, own.add(socket));
    const timer = setTimeout(() => socket.destroy(), this.proofLimit);
    this.#timers.set(socket, timer);
    // The TLS socket above it reports its errors.
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.proved(socket);
      own.delete(socket);
      if (own.size === 0 && this.#all.get(address) === own) this.#all.delete(address);
    });
    const [oldest] = own;
    if (own.size > MOST) {
      own.delete(oldest);
      oldest.destroy();
    }
    return socket;
  }

  /** The other side of that connection has proved itself. */
  proved(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  clear(): void {
    for (const own of this.#all.values()) for (const socket of own) socket.destroy();
  }
}
