/**
 * Whether everybody reaches this member: a VM's public address is often its own, but at another machine (a one-to-one
 * NAT). Nothing that the member sends tells that from a NAT which lets nothing in. So the seed knocks: it connects to a port
 * that nothing has been sent from.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { knockOf } from '../../../contract/control/knock';
import type { NatReport } from '../../../contract/peer/peer-messages';
import { quietPorts } from '../punched/ports';

/** Asks the seed to connect to that port, and to say what follows from the secret. */
export type Knock = (port: number, secret: string) => void;

/** Milliseconds. What takes longer would be of no use to a guest either. */
const KNOCK_LIMIT = 3_000;
/** Whoever tries all ports finds this one, too. */
const MOST_STRANGERS = 8;

/** Whether the seed's connection comes. Never fails: whatever goes wrong, it has not come. */
export async function hearKnock(mine: NatReport, knock: Knock, signal: AbortSignal): Promise<boolean> {
  const server = createServer().on('error', () => undefined);
  server.maxConnections = MOST_STRANGERS;
  const port = await listen(server, mine.localAddress, quietPorts(mine.ports));
  if (port === undefined) return false;
  const secret = randomBytes(32).toString('base64');
  const heard = hear(server, knockOf(secret), signal);
  knock(port, secret);
  return heard;
}

/** At the first of these ports that is free. */
async function listen(server: Server, host: string, ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) {
    try {
      server.listen({ host, port });
      await once(server, 'listening');
      return port;
    } catch {
      // The next one may be free.
    }
  }
  return undefined;
}

/** Whether these words come within the time, over whichever connection. Nothing is open after that. */
function hear(server: Server, words: Buffer, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const sockets = new Set<Socket>();
    const end = (heard: boolean) => {
      clearTimeout(limit);
      signal.removeEventListener('abort', onAbort);
      server.close();
      for (const socket of sockets) socket.destroy();
      resolve(heard);
    };
    const onAbort = () => end(false);
    const limit = setTimeout(onAbort, KNOCK_LIMIT);
    signal.addEventListener('abort', onAbort, { once: true });
    server.on('connection', (socket) => {
      let said = Buffer.alloc(0);
      sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
      socket.on('data', (bytes) => {
        said = Buffer.concat([said, bytes]);
        if (said.length < words.length) return;
        if (said.length === words.length && timingSafeEqual(said, words)) end(true);
        else socket.destroy();
      });
    });
    if (signal.aborted) onAbort();
  });
}
