/** A client outside of every cluster: one TCP connection to a port of this machine. */
import { connect } from 'node:net';

export interface Talk {
  /** What came. */
  readonly text: string;
  /** The errno name of how it ended; undefined: in order. */
  readonly error: string | undefined;
  /** Where it came from: address and port. */
  readonly local: string;
}

export interface TalkOptions {
  readonly input?: string | Buffer;
  /** A loopback address. */
  readonly from?: string;
  /** Its own direction ends with the input. Else the connection is closed once `lines` have come. */
  readonly ends?: boolean;
  readonly lines?: number;
}

export function talk(port: number, { input = '', from = '127.0.0.1', ends = true, lines = 2 }: TalkOptions = {}) {
  return new Promise<Talk>((resolve) => {
    let [text, local] = ['', ''];
    let error: string | undefined;
    const socket = connect({ port, host: '127.0.0.1', localAddress: from, allowHalfOpen: true });
    socket.setEncoding('utf8');
    socket.once('connect', () => {
      local = `${socket.localAddress} ${socket.localPort}`;
      if (ends) socket.end(input);
      else socket.write(input);
    });
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (!ends && text.split('\n').length > lines) socket.destroy();
    });
    socket.on('end', () => socket.destroy());
    socket.on('error', (e: NodeJS.ErrnoException) => {
      error = e.code;
    });
    socket.on('close', () => resolve({ text, error, local }));
  });
}

/**
 * A guest: answers each connection with the address that `accept` shows and the one that `getpeername` shows, a line
 * each, then echoes. Arguments: the port, and seconds to wait before it listens.
 */
export const WHO = `
import socket, sys, threading, time
if len(sys.argv) > 2: time.sleep(float(sys.argv[2]))
def serve(c, shown):
    c.sendall(("%s %s\\n" % (shown[0], shown[1])).encode() + ("%s %s\\n" % c.getpeername()).encode())
    while True:
        data = c.recv(65536)
        if not data: break
        c.sendall(data)
    c.close()
s = socket.create_server(("", int(sys.argv[1])), backlog=512)
while True:
    c, shown = s.accept()
    threading.Thread(target=serve, args=(c, shown), daemon=True).start()
`;
