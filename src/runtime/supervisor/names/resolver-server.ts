/**
 * The resolver itself: answers what is about the cluster, passes on the rest. Loaded when a guest first sends a
 * question.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Guard } from '../../control/guard';
import { RCODE, readQuery, writeReply } from './dns-message';
import { clusterNames, type ResolverIdentity } from './resolver-names';
import { framed, frames } from './resolver-stream';
import { type Over, openUpstream, type UpstreamOptions } from './resolver-upstream';

export interface ResolverServerOptions extends UpstreamOptions {
  readonly identity: ResolverIdentity;
  /** To listen at. */
  readonly address: string;
  /** Around all that guests and nameservers send. */
  readonly guard: Guard;
}

export interface ResolverServer {
  readonly udpPort: number;
  readonly tcpPort: number;
  /** Questions that were passed on and have no answer. */
  readonly pending: number;
  close(): void;
}

const MOST_CONNECTIONS = 64;
/** A connection without question or answer for this long is closed. */
const IDLE = 10_000;
/** A guest that sends questions and does not read is cut off. */
const MOST_UNREAD = 1024 * 1024;

/** @throws Error of Node.js when the address cannot be listened at */
export async function openResolverServer(options: ResolverServerOptions): Promise<ResolverServer> {
  const names = clusterNames(options.identity);
  const upstream = openUpstream(options);
  const connections = new Set<Socket>();

  /** Undefined: no answer. */
  const answer = async (message: Buffer, over: Over): Promise<Buffer | undefined> => {
    const query = readQuery(message);
    if (query.is === 'none') return undefined;
    if (query.is === 'bad') return writeReply(message, query.rcode);
    const known = names(query.question);
    if (known) return writeReply(message, known.exists ? RCODE.noError : RCODE.nameError, known.records);
    return (await upstream.ask(message, over)) ?? writeReply(message, RCODE.serverFailure);
  };

  const udp = createSocket('udp4');
  let open = true;
  // Datagrams may be lost: an answer that the kernel does not take is one.
  udp.on('message', (message, from) =>
    options.guard('a DNS question over UDP', async () => {
      const reply = await answer(message, 'udp');
      if (reply && open) udp.send(reply, from.port, from.address, () => undefined);
    }),
  );
  const tcp = createServer((socket) => {
    connections.add(socket);
    socket.setTimeout(IDLE, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => connections.delete(socket));
    const end = () => socket.destroy();
    const serve = async (message: Buffer) => {
      const reply = await answer(message, 'tcp');
      if (!reply || !socket.writable) return;
      socket.write(framed(reply));
      if (socket.writableLength > MOST_UNREAD) end();
    };
    socket.on(
      'data',
      frames((message) => options.guard('a DNS question over TCP', () => serve(message), end)),
    );
  });
  tcp.maxConnections = MOST_CONNECTIONS;

  const close = () => {
    open = false;
    udp.close();
    tcp.close();
    for (const socket of connections) socket.destroy();
    upstream.close();
  };
  try {
    udp.bind(0, options.address);
    tcp.listen(0, options.address);
    await Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
  } catch (error) {
    close();
    throw error;
  }
  udp.on('error', () => undefined);
  tcp.on('error', () => undefined);
  return {
    udpPort: udp.address().port,
    tcpPort: (tcp.address() as AddressInfo).port,
    get pending() {
      return upstream.pending;
    },
    close,
  };
}
