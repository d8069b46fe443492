/**
 * Connections that the connector has handed over, for the supervisor's own talk with other members. A member may ask for them at will,
 * so each has to prove itself in time, and a member has a few at most: the newest of them stay.
 */
import { Socket } from 'node:net';

export interface Handed<Member> {
  /** The connection, which is closed unless `proved` is called in time. */
  take(member: Member, descriptor: number): Socket;
  /** The other side has proved itself. */
  proved(socket: Socket): void;
  clear(): void;
}

/** Milliseconds for the handshake. */
const PROOF_LIMIT = 5_000;
/** Of one member. Two that meet in the middle have one each, and may be replacing them. */
const MOST = 4;

export function createHanded<Member>(limit = PROOF_LIMIT): Handed<Member> {
  const all = new Map<Member, Set<Socket>>();
  const timers = new Map<Socket, NodeJS.Timeout>();

  const proved = (socket: Socket) => {
    clearTimeout(timers.get(socket));
    timers.delete(socket);
  };

  return {
    take: (member, descriptor) => {
      const socket = new Socket({ fd: descriptor, readable: true, writable: true });
      const own = all.get(member) ?? new Set();
      all.set(member, own.add(socket));
      timers.set(
        socket,
        setTimeout(() => socket.destroy(), limit),
      );
      // What TLS makes of it is told by the TLS socket.
      socket.on('error', () => undefined);
      socket.once('close', () => {
        proved(socket);
        own.delete(socket);
        if (own.size === 0 && all.get(member) === own) all.delete(member);
      });
      const [oldest] = own;
      if (own.size > MOST) {
        own.delete(oldest);
        oldest.destroy();
      }
      return socket;
    },
    proved,
    clear: () => {
      for (const own of all.values()) for (const socket of own) socket.destroy();
    },
  };
}
