import type { Socket } from 'node:net';
import { connect, TLSSocket } from 'node:tls';
import { pskOptions } from '../../control/tls-options';

/** What both sides of a peer link name as the identity of their key. */
export const IDENTITY = 'peer-link';

/** TLS on that connection. @returns the TLS socket once both sides have proved that they have the key */
export function handshake(connection: Socket, psk: Buffer, side: 'client' | 'server'): Promise<TLSSocket> {
  const socket = side === 'client' ? clientOf(connection, psk) : serverOf(connection, psk);
  return new Promise((resolve, reject) => {
    socket.once(side === 'client' ? 'secureConnect' : 'secure', () => resolve(socket));
    socket.once('close', () => reject(new Error('the other side closed the connection')));
    socket.on('error', (error) => {
      reject(error);
      socket.destroy();
    });
  });
}

function clientOf(socket: Socket, psk: Buffer): TLSSocket {
  const pskCallback = () => ({ psk, identity: IDENTITY });
  return connect({ ...pskOptions(), socket, pskCallback, checkServerIdentity: () => undefined });
}

function serverOf(socket: Socket, psk: Buffer): TLSSocket {
  // node:tls has it for a server's own sockets; the types know it for its servers only.
  const pskCallback = (_socket: unknown, identity: string) => (identity === IDENTITY ? psk : null);
  const settings = { ...pskOptions(), isServer: true, pskCallback };
  return new TLSSocket(socket, settings);
}
