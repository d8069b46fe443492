/** What holds a host, in words for an operator: the connection, or the process. */
import { readFileSync } from 'node:fs';
import { formatAddress } from '../../../contract/manifest/address';
import type { TcpSocket } from '../sockets/proc-net';

/**
 * @param owner the process that has it, if one is known to
 * @param nameOf the member whose real address that is, if one is known by it
 */
export function connectionHeld(
  socket: TcpSocket,
  owner: number | undefined,
  listening: ReadonlySet<number>,
  nameOf: (address: number) => string | undefined,
): string {
  const remote = nameOf(socket.remote) ?? (socket.remote < 0 ? 'an IPv6 address' : formatAddress(socket.remote));
  // Of a punched connection neither end is a port that the guest knows.
  const accepted = listening.has(socket.localPort);
  const way = accepted ? `from ${remote} to port ${socket.localPort}` : `with ${remote}, port ${socket.remotePort}`;
  return `a connection ${way}${owner === undefined ? '' : `, of process ${processName(owner)}`}`;
}

export function processName(pid: number): string {
  try {
    const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    return `${pid} (${name})`;
  } catch {
    return String(pid);
  }
}
