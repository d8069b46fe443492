/**
 * Questions that are not about the cluster, passed to the machine's own nameservers: as they are, but under a number
 * and from a port of our own. Every nameserver may answer; the first answer counts.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, isIP, isIPv6 } from 'node:net';
import { answers, RCODE, rcodeOf, renumbered } from './dns-message';
import { framed, frames } from './resolver-stream';

export type Over = 'udp' | 'tcp';

export interface UpstreamOptions {
  readonly resolvConf: string;
  /** Where nameservers listen. */
  readonly port: number;
}

export interface Upstream {
  /** Questions that are not answered yet. */
  readonly pending: number;
  /** Undefined: no nameserver answers, or too many questions are open. */
  ask(query: Buffer, over: Over): Promise<Buffer | undefined>;
  close(): void;
}

/** What libc looks at. */
const MOST_SERVERS = 3;
/** One attempt after the other; over before the 5 seconds that most programs wait. */
const ATTEMPTS = 3;
const INTERVAL = 1_500;
/** Each may have a socket per attempt, and Lambda allows 1,024 descriptors. */
const MOST_PENDING = 128;
/** Another server may know better. */
const UNWILLING: readonly number[] = [RCODE.serverFailure, RCODE.notImplemented, RCODE.refused];

/**
 * Sends one query to one server. Calls `done` later and once, unless it is stopped before: with the answer, or without
 * one.
 */
type Attempt = (query: Buffer, server: string, port: number, done: (reply?: Buffer) => void) => () => void;

export function openUpstream({ resolvConf, port }: UpstreamOptions): Upstream {
  const open = new Set<() => void>();
  return {
    get pending() {
      return open.size;
    },
    ask: (query, over) => {
      if (open.size >= MOST_PENDING) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        const stop = askAll(query, over === 'udp' ? overUdp : overTcp, nameservers(resolvConf), port, (reply) => {
          open.delete(stop);
          resolve(reply && renumbered(reply, query.readUInt16BE(0)));
        });
        open.add(stop);
      });
    },
    close: () => {
      for (const stop of [...open]) stop();
    },
  };
}

/** @returns ends it without an answer */
function askAll(
  query: Buffer,
  attempt: Attempt,
  servers: readonly string[],
  port: number,
  done: (reply?: Buffer) => void,
): () => void {
  const turns = [...servers];
  const stops: Array<() => void> = [];
  let unwilling: Buffer | undefined;
  let attempts = 0;
  let timer: NodeJS.Timeout | undefined;

  const finish = (reply?: Buffer) => {
    clearTimeout(timer);
    for (const stop of stops) stop();
    done(reply);
  };
  const next = () => {
    clearTimeout(timer);
    const server = turns.shift();
    if (server === undefined || attempts === ATTEMPTS) return finish(unwilling);
    turns.push(server);
    attempts += 1;
    timer = setTimeout(next, INTERVAL);
    const renamed = renumbered(query, randomInt(0x10000));
    const stop = attempt(renamed, server, port, (reply) => {
      if (reply && !UNWILLING.includes(rcodeOf(reply))) return finish(reply);
      unwilling ??= reply;
      turns.splice(turns.indexOf(server), 1);
      next();
    });
    stops.push(stop);
  };
  next();
  return () => finish();
}

const overUdp: Attempt = (query, server, port, done) => {
  const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4');
  let open = true;
  const stop = () => {
    if (open) socket.close();
    open = false;
  };
  const end = (reply?: Buffer) => {
    if (!open) return;
    stop();
    done(reply);
  };
  socket.on('error', () => end());
  // What comes from anywhere else does not come through a connected socket.
  socket.on('message', (reply) => answers(reply, query) && end(reply));
  socket.on('connect', () => socket.send(query));
  socket.connect(port, server);
  return stop;
};

const overTcp: Attempt = (query, server, port, done) => {
  const socket = connect({ host: server, port });
  let open = true;
  const stop = () => {
    open = false;
    socket.destroy();
  };
  const end = (reply?: Buffer) => {
    if (!open) return;
    stop();
    done(reply);
  };
  socket.on('error', () => end());
  socket.on('close', () => end());
  socket.on('connect', () => socket.write(framed(query)));
  socket.on(
    'data',
    frames((reply) => answers(reply, query) && end(reply)),
  );
  return stop;
};

/** Read each time: laptops change networks. */
function nameservers(resolvConf: string): string[] {
  let text = '';
  try {
    text = readFileSync(resolvConf, 'utf8');
  } catch {
    // as an empty one
  }
  const listed = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1]).filter((s) => isIP(s) !== 0);
  return listed.length > 0 ? listed.slice(0, MOST_SERVERS) : ['127.0.0.1'];
}
