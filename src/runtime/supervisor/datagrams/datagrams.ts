/**
 * Datagrams for hosts that are not up: held, as a kernel holds packets while it looks for a neighbour, and sent from the
 * guest's own socket when the host is. A queue per destination; what does not fit is lost, as datagrams may be.
 */

import { hiddenPort, type ShimRequest } from '../../../contract/abi/shim';
import type { NativeAddon } from '../../../native/addon';
import type { Guard } from '../../control/guard';
import { AskError } from '../../control/index';
import type { Destination } from '../../transport/transport';
import type { Log } from '../run/log';
import type { Locations } from '../sockets/locations';
import type { Locator } from '../sockets/locator';

export interface DatagramsOptions {
  readonly native: Pick<NativeAddon, 'sendDatagram' | 'closeDescriptor'>;
  readonly locations: Locations;
  readonly locator: Locator;
  /** Where the guest's own socket reaches that port of a host that is up; undefined: nowhere. */
  readonly route: (
    destination: Destination,
    address: number,
  ) => DatagramEndpoint | undefined | Promise<DatagramEndpoint | undefined>;
  /**
   * Where a host that did not come up would have been (network `flat`): what is sent there is refused by the kernel, so that a
   * connected socket learns of it. Undefined: nowhere.
   */
  readonly nowhere: (address: number) => number | undefined;
  readonly guard: Guard;
  readonly log: Log;
}

/** A real address and port. */
interface DatagramEndpoint {
  readonly real: number;
  readonly realPort: number;
}

export type DatagramRequest = Extract<ShimRequest, { op: 'datagram' }>;

export interface Datagrams {
  /** Sends it from `socket` as soon as its destination is up. Owns the descriptor from now on. */
  send(request: DatagramRequest, socket: number): void;
  /** Resolves when nothing is held, or when the signal is aborted. */
  drained(signal: AbortSignal): Promise<void>;
  close(): void;
}

interface Queue {
  readonly held: DatagramRequest[];
  /** The guests' sockets, by cookie: each is kept once. */
  readonly sockets: Map<bigint, number>;
  bytes: number;
}

/** Per destination. About what Linux keeps for an unresolved neighbour, and no guest's log in full. */
const MOST_DATAGRAMS = 256;
const MOST_BYTES = 512 * 1024;
/** Descriptors are scarcer: Lambda allows 1,024. */
const MOST_SOCKETS = 128;

export function createDatagrams(options: DatagramsOptions): Datagrams {
  const { native, locations, locator, log } = options;
  const queues = new Map<string, Queue>();
  const waiting = new Set<() => void>();
  let sockets = 0;

  const discard = (queue: Queue) => {
    for (const socket of queue.sockets.values()) native.closeDescriptor(socket);
    sockets -= queue.sockets.size;
    queue.sockets.clear();
  };
  const pass = (socket: number, { data, source, sourcePort, marks }: DatagramRequest, to: DatagramEndpoint) =>
    native.sendDatagram(socket, data, to.real, to.realPort, source, sourcePort, marks);
  const flush = (key: string, real: number | undefined, realPort: number) => {
    const queue = queues.get(key);
    if (!queue) return;
    queues.delete(key);
    for (const request of queue.held) {
      if (real !== undefined) pass(queue.sockets.get(request.cookie)!, request, { real, realPort });
    }
    discard(queue);
    if (queues.size === 0) for (const wake of waiting) wake();
  };

  /** Asks for the host, and lets the queue go. */
  const resolve = async (key: string, host: string, address: number, port: number) => {
    try {
      const { location, realPort } = await locator.locate(host, port, {
        staleEpoch: locations.distrusted(host),
        protocol: 'udp',
      });
      locations.apply(location);
      const route = await options.route({ location, port, realPort }, address);
      flush(key, route?.real, route?.realPort ?? realPort);
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      log('info', `${host}:${port} (UDP) cannot be reached: ${error.message}`, { errno: error.errno });
      flush(key, options.nowhere(address), hiddenPort(port));
    }
  };

  /** False: there is no room for it. */
  const hold = (queue: Queue, request: DatagramRequest, socket: number): boolean => {
    if (queue.held.length >= MOST_DATAGRAMS || queue.bytes + request.data.length > MOST_BYTES) return false;
    if (!queue.sockets.has(request.cookie)) {
      if (sockets >= MOST_SOCKETS) return false;
      queue.sockets.set(request.cookie, socket);
      sockets += 1;
    } else native.closeDescriptor(socket);
    queue.held.push(request);
    queue.bytes += request.data.length;
    return true;
  };

  const now = (request: DatagramRequest, socket: number, known: Destination) => {
    const go = (route: DatagramEndpoint | undefined) => {
      if (route) pass(socket, request, route);
      native.closeDescriptor(socket);
    };
    const send = () => {
      const route = options.route(known, request.address);
      if (route instanceof Promise) return route.then(go);
      return go(route);
    };
    options.guard('a datagram of a guest', send, () => native.closeDescriptor(socket));
  };

  return {
    send: (request, socket) => {
      const { address, port } = request;
      const host = locations.hostAt(address);
      if (host === undefined || port === 0) return native.closeDescriptor(socket);
      const known = locations.findDatagrams(host, port);
      if (known) return now(request, socket, known);
      const key = `${host}:${port}`;
      const there = queues.get(key);
      const queue = there ?? { held: [], sockets: new Map(), bytes: 0 };
      if (!hold(queue, request, socket)) return native.closeDescriptor(socket);
      if (there) return;
      queues.set(key, queue);
      resolve(key, host, address, port).catch((error: Error) => {
        log('error', `datagrams for ${key} failed here: ${error.stack}`);
        flush(key, undefined, port);
      });
    },
    drained: (signal) =>
      new Promise((done) => {
        if (queues.size === 0 || signal.aborted) return done();
        const finish = () => {
          waiting.delete(finish);
          signal.removeEventListener('abort', finish);
          done();
        };
        waiting.add(finish);
        signal.addEventListener('abort', finish, { once: true });
      }),
    close: () => {
      for (const queue of queues.values()) discard(queue);
      queues.clear();
      for (const wake of waiting) wake();
    },
  };
}
