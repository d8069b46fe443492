/**
 * Datagrams for hosts that are not up: held, as a kernel holds packets while it looks for a neighbour, and sent from
 * the guest's own socket when the host is. A queue per destination; what does not fit is lost, as datagrams may be.
 */

import { hiddenPort, type ShimRequest } from '../../../contract/abi/shim';
import type { NativeAddon } from '../../../native/addon';
import type { Guard } from '../../control/guard';
import { LocateError } from '../../control/index';
import type { Destination } from '../../transport/transport';
import type { Log } from '../run/log';
import type { ExpectedHosts } from '../sockets/expected-hosts';
import type { Locations } from '../sockets/locations';
import type { Locator } from '../sockets/locator';

export interface DatagramsOptions {
  readonly native: Pick<NativeAddon, 'sendDatagram' | 'closeDescriptor'>;
  readonly locations: Locations;
  readonly locator: Locator;
  readonly expected: Pick<ExpectedHosts, 'used'>;
  /** Where the guest's own socket reaches that port of a host that is up; undefined: nowhere. */
  readonly route: (
    destination: Destination,
    address: number,
  ) => DatagramEndpoint | undefined | Promise<DatagramEndpoint | undefined>;
  /**
   * Where a host that did not come up would have been (network `flat`): what is sent there is refused by the kernel, so
   * that a connected socket learns of it. Undefined: nowhere.
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

export class Datagrams {
  readonly #options: DatagramsOptions;
  readonly #queues = new Map<string, Queue>();
  /** Callers of `drained`. */
  readonly #waiting = new Set<() => void>();
  #sockets = 0;

  constructor(options: DatagramsOptions) {
    this.#options = options;
  }

  /** Sends it from `socket` as soon as its destination is up. Owns the descriptor from now on. */
  send(request: DatagramRequest, socket: number): void {
    const { native, locations, expected } = this.#options;
    const { address, port } = request;
    const host = locations.hostAt(address);
    if (host === undefined || port === 0) {
      native.closeDescriptor(socket);
      return;
    }
    const known = locations.findDatagrams(host, port);
    if (known) {
      expected.used(host);
      this.#sendNow(request, socket, known);
    } else this.#queue(request, socket, host);
  }

  #queue(request: DatagramRequest, socket: number, host: string): void {
    const { address, port } = request;
    const key = `${host}:${port}`;
    const there = this.#queues.get(key);
    const queue = there ?? { held: [], sockets: new Map(), bytes: 0 };
    if (!this.#hold(queue, request, socket)) {
      this.#options.native.closeDescriptor(socket);
      return;
    }
    if (there) return;
    this.#queues.set(key, queue);
    this.#locate(key, host, address, port).catch((error: Error) => {
      this.#options.log('error', `datagrams for ${key} failed here: ${error.stack}`);
      this.#flush(key, undefined, port);
    });
  }

  /** Resolves when nothing is held, or when the signal is aborted. */
  drained(signal: AbortSignal): Promise<void> {
    return new Promise((done) => {
      if (this.#queues.size === 0 || signal.aborted) return done();
      const finish = () => {
        this.#waiting.delete(finish);
        signal.removeEventListener('abort', finish);
        done();
      };
      this.#waiting.add(finish);
      signal.addEventListener('abort', finish, { once: true });
    });
  }

  close(): void {
    for (const queue of this.#queues.values()) this.#discard(queue);
    this.#queues.clear();
    for (const wake of this.#waiting) wake();
  }

  /** Locates the host, and lets the queue go. */
  async #locate(key: string, host: string, address: number, port: number): Promise<void> {
    const { locations, locator, log, nowhere } = this.#options;
    try {
      const staleEpoch = locations.distrusted(host);
      const { location, realPort } = await locator.locate(host, port, { staleEpoch, protocol: 'udp' });
      locations.apply(location);
      const route = await this.#options.route({ location, port, realPort }, address);
      this.#flush(key, route?.real, route?.realPort ?? realPort);
    } catch (error) {
      if (!(error instanceof LocateError)) throw error;
      log('info', `${host}:${port} (UDP) cannot be reached: ${error.message}`, { errno: error.errno });
      this.#flush(key, nowhere(address), hiddenPort(port));
    }
  }

  #sendNow(request: DatagramRequest, socket: number, known: Destination): void {
    const { native, route, guard } = this.#options;
    const pass = (to: DatagramEndpoint | undefined) => {
      if (to) this.#pass(socket, request, to);
      native.closeDescriptor(socket);
    };
    const send = () => {
      const to = route(known, request.address);
      return to instanceof Promise ? to.then(pass) : pass(to);
    };
    guard('a datagram of a guest', send, () => native.closeDescriptor(socket));
  }

  /** False: there is no room for it. */
  #hold(queue: Queue, request: DatagramRequest, socket: number): boolean {
    if (queue.held.length >= MOST_DATAGRAMS || queue.bytes + request.data.length > MOST_BYTES) return false;
    if (!queue.sockets.has(request.cookie)) {
      if (this.#sockets >= MOST_SOCKETS) return false;
      queue.sockets.set(request.cookie, socket);
      this.#sockets += 1;
    } else this.#options.native.closeDescriptor(socket);
    queue.held.push(request);
    queue.bytes += request.data.length;
    return true;
  }

  /** Sends what is held to `real`; undefined: it is lost. */
  #flush(key: string, real: number | undefined, realPort: number): void {
    const queue = this.#queues.get(key);
    if (!queue) return;
    this.#queues.delete(key);
    for (const request of queue.held) {
      if (real !== undefined) this.#pass(queue.sockets.get(request.cookie)!, request, { real, realPort });
    }
    this.#discard(queue);
    if (this.#queues.size === 0) for (const wake of this.#waiting) wake();
  }

  #pass(socket: number, { data, source, sourcePort, marks }: DatagramRequest, to: DatagramEndpoint): void {
    this.#options.native.sendDatagram(socket, data, to.real, to.realPort, source, sourcePort, marks);
  }

  #discard(queue: Queue): void {
    for (const socket of queue.sockets.values()) this.#options.native.closeDescriptor(socket);
    this.#sockets -= queue.sockets.size;
    queue.sockets.clear();
  }
}
