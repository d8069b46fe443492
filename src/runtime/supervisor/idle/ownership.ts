/**
 * Which sockets are the guests'. That takes reading all descriptors of all of them, so it is remembered: they are read
 * again where a socket is new, or one that was nobody's has moved bytes, as a connection does when it is handed off.
 */
import { socketInodes } from '../guest/processes';
import type { TcpSocket } from '../sockets/proc-net';

/** @returns find: the guest that has a socket, by inode */
export function watchOwnership(): (
  sockets: readonly TcpSocket[],
  pids: () => Iterable<number>,
  thorough: boolean,
) => ReadonlyMap<number, number> {
  let owners = new Map<number, number>();
  /** The bytes that sockets of others had moved when the descriptors were read last, by inode. */
  let others = new Map<number, number>();
  const isNew = (socket: TcpSocket) =>
    socket.inode > 0 && !owners.has(socket.inode) && others.get(socket.inode) !== bytesOf(socket);

  return (sockets, pids, thorough) => {
    if (!thorough && !sockets.some(isNew)) {
      const present = new Set(sockets.map(({ inode }) => inode));
      for (const inode of owners.keys()) if (!present.has(inode)) owners.delete(inode);
      return owners;
    }
    owners = new Map();
    for (const pid of pids()) for (const inode of socketInodes(pid)) owners.set(inode, pid);
    others = new Map(sockets.flatMap((s) => (owners.has(s.inode) ? [] : [[s.inode, bytesOf(s)]])));
    return owners;
  };
}

/** Where the kernel does not count, what waits in a socket's queues has to do. */
export function bytesOf(socket: TcpSocket): number {
  return socket.bytes ?? socket.sendQueue + socket.receiveQueue;
}
