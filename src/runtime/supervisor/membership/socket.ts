/** The Unix socket of the streams of membership. To open it takes a while: that is done before the host has joined. */
import { mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { MEMBERSHIP_SOCKET, NODE_FOLDER } from '../files/node-files';

/** Of `sockaddr_un`, without the NUL. */
const LONGEST_PATH = 107;

export interface MembershipSocket {
  readonly server: Server;
  /** Why it is not listened on. */
  problem?: string;
}

/** Makes the folder of the node's files as well. */
export function openMembershipSocket(runDir: string): MembershipSocket {
  const folder = join(runDir, NODE_FOLDER);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, MEMBERSHIP_SOCKET);
  const socket: MembershipSocket = { server: createServer() };
  socket.server.on('error', ({ message }) => {
    socket.problem ??= message;
  });
  if (Buffer.byteLength(path) > LONGEST_PATH) socket.problem = `the path of its socket is too long: ${path}`;
  else socket.server.listen(path).unref();
  return socket;
}
