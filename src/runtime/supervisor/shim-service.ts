/** Answers the shims of this host's guests. */
import type { NativeAddon, ShimSocket } from '../../native';
import { AskError } from '../control/client';
import { ERRNO } from '../protocol/errno';
import { BadRequestError, decodeRequest, encodeReply, type ShimReply, type ShimRequest } from '../protocol/shim';
import { openRoute, type Route, type Transport } from '../transport/transport';
import type { Asks } from './asks';
import type { Datagrams } from './datagrams';
import type { Listeners } from './listeners';
import type { Locations } from './locations';
import type { Log } from './log';

export interface ShimServiceOptions {
  readonly native: Pick<NativeAddon, 'openShimSocket' | 'reply' | 'closeDescriptor'>;
  /** Path of the Unix socket. */
  readonly path: string;
  readonly locations: Locations;
  readonly asks: Asks;
  readonly listeners: Listeners;
  readonly datagrams: Pick<Datagrams, 'send'>;
  readonly transports: readonly Transport[];
  /** This is not the host whose address it has: what is not served here is asked for. */
  readonly visitor: boolean;
  /** Stands for an address that is not bound to any: where this host reaches itself. */
  readonly ownReal: number;
  readonly log: Log;
}

export interface ShimService {
  close(): void;
}

/** How often the callers that wait are looked after: a process that has died waits no longer. */
const SWEEP = 1_000;

type Connect = Extract<ShimRequest, { op: 'connect' }>;
const refused: ShimReply = { status: ERRNO.ECONNREFUSED };

export function openShimService(options: ShimServiceOptions): ShimService {
  const { native, locations, asks, listeners, log } = options;
  const waiting = new Map<AbortController, number>();
  let complained = false;
  let sweeper: NodeJS.Timeout | undefined;

  const sweep = () => {
    for (const [caller, pid] of waiting) if (!isAlive(pid)) caller.abort();
    sweeper = waiting.size > 0 ? setTimeout(sweep, SWEEP) : undefined;
  };

  const route = (found: Route | undefined): ShimReply =>
    found
      ? { status: 0, real: found.real, realPort: found.realPort, epoch: found.epoch }
      : { status: ERRNO.EHOSTUNREACH };

  const connect = async ({ address, port, pid, epoch }: Connect): Promise<ShimReply> => {
    if (address === locations.self) {
      const own = listeners.find(port);
      if (own) return { status: 0, real: own.real, realPort: own.realPort, epoch: 0 };
      if (!options.visitor) return refused;
    }
    const host = locations.hostAt(address);
    // An address of the cluster's network that is nobody's.
    if (host === undefined) return { status: ERRNO.EHOSTUNREACH };
    if (epoch !== 0) locations.distrust(host, epoch);
    const known = locations.find(host, port);
    if (known) return route(openRoute(options.transports, known));
    const caller = new AbortController();
    waiting.set(caller, pid);
    sweeper ??= setTimeout(sweep, SWEEP);
    try {
      const { location, realPort } = await asks.ask(host, port, {
        staleEpoch: locations.distrusted(host),
        signal: caller.signal,
      });
      locations.apply(location);
      return route(openRoute(options.transports, { location, port, realPort }));
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      log('info', `${host}:${port} cannot be connected to: ${error.message}`, { errno: error.errno });
      return { status: ERRNO[error.errno] };
    } finally {
      waiting.delete(caller);
    }
  };

  /** Undefined: nobody waits for a reply. */
  const handle = (request: ShimRequest): ShimReply | Promise<ShimReply> | undefined => {
    switch (request.op) {
      case 'connect':
        return connect(request);
      case 'listen': {
        const { port, realPort, scope, protocol } = request;
        listeners.add({ port, real: request.real || options.ownReal, realPort, scope, ...(protocol && { protocol }) });
        return { status: 0 };
      }
      case 'stale': {
        const host = locations.hostAt(request.address);
        if (host !== undefined) locations.distrust(host, request.epoch);
        return undefined;
      }
      case 'datagram':
        return undefined;
      case 'log':
        log('warn', request.text, { from: 'shim', pid: request.pid });
        return undefined;
    }
  };

  const socket: ShimSocket = native.openShimSocket(options.path, (message, [replyTo, ...others]) => {
    for (const fd of others) native.closeDescriptor(fd);
    const answer = (reply: ShimReply | undefined) => {
      if (replyTo === undefined) return;
      if (reply) native.reply(replyTo, encodeReply(reply), []);
      else native.closeDescriptor(replyTo);
    };
    try {
      const request = decodeRequest(message);
      // What came along is the guest's own socket.
      if (request.op === 'datagram' && replyTo !== undefined) return options.datagrams.send(request, replyTo);
      const reply = handle(request);
      if (reply instanceof Promise) {
        reply.then(answer, (error: Error) => {
          log('error', `a connect of a guest failed here: ${error.stack}`);
          answer(undefined);
        });
      } else answer(reply);
    } catch (error) {
      answer(undefined);
      if (!(error instanceof BadRequestError)) throw error;
      if (!complained) log('warn', error.message);
      complained = true;
    }
  });

  return {
    close: () => {
      socket.close();
      clearTimeout(sweeper);
      for (const caller of waiting.keys()) caller.abort();
    },
  };
}

/** A pid of 0 is a sender that does not say who it is. */
function isAlive(pid: number): boolean {
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
