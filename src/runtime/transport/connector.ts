/** The native connector, with promises for its events. The purpose of a connection is its callers' business. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { im_event, im_purpose } from '../../contract/abi/generated';
import type { ConnectorOpening, NativeAddon, NativeConnector } from '../../native/addon';

const PURPOSE = {
  poolOut: im_purpose.IM_POOL_OUT,
  poolIn: im_purpose.IM_POOL_IN,
  give: im_purpose.IM_GIVE,
  deliver: im_purpose.IM_DELIVER,
  hand: im_purpose.IM_HAND,
  signallingOut: im_purpose.IM_SIGNALLING_OUT,
  signallingIn: im_purpose.IM_SIGNALLING_IN,
} as const;

type Event = (typeof im_event)[keyof typeof im_event];

export type Opening = Omit<ConnectorOpening, 'id' | 'purpose'> & { readonly purpose: keyof typeof PURPOSE };

/** What many connections for the pool have in common. */
export type Filling = Omit<Opening, 'localPort' | 'remotePort' | 'send' | 'expect'> & {
  readonly purpose: 'poolOut' | 'poolIn';
};

/** A connection could not be made. `errno`: the kernel's number; 0: it was given up. */
export class OpeningError extends Error {
  readonly code = 'NOT_OPENED';
  constructor(readonly errno: number) {
    super(errno === 0 ? 'given up' : getSystemErrorName(-errno));
    this.name = 'OpeningError';
  }
  /** Something here has the port: a guest that listens there, or a connection that ended a moment ago. */
  get busy(): boolean {
    return this.errno === constants.errno.EADDRINUSE || this.errno === constants.errno.EADDRNOTAVAIL;
  }
}

export interface ConnectorOptions {
  readonly native: Pick<NativeAddon, 'openConnector'>;
  /** The first address of the loopback aliases. */
  readonly aliasBase: number;
  /** Few connections of the pool to that peer are left. */
  readonly onUsed: (peer: number) => void;
  /** One of them has ended unused. */
  readonly onLost: (peer: number) => void;
  /** That peer does not hear connections of the pool any more: none is left. */
  readonly onSilent: (peer: number) => void;
  /** There is no signalling channel to that peer any more. */
  readonly onSignallingEnded: (peer: number) => void;
  /** A guest was connected to that peer over the signalling channel, as nothing was ready. */
  readonly onMissed: (peer: number) => void;
  /** A connection from that peer met no listener on `port`. */
  readonly onRefused: (peer: number, port: number) => void;
}

interface Waiter {
  resolve(detail: number): void;
  reject(error: OpeningError): void;
  /** The connection is not waited for any more. */
  done(): void;
}

export class Connector {
  /** For the shim service, which answers without JavaScript where this one can. */
  readonly native: NativeConnector;
  readonly #waiting = new Map<number, Waiter>();
  #last = 0;

  constructor(private readonly options: ConnectorOptions) {
    this.native = options.native.openConnector(options.aliasBase, (event, subject, detail) =>
      this.#onEvent(event as Event, subject, detail),
    );
  }

  /**
   * Makes a connection. Resolves when it stands and has gone where its purpose says. What listens does so at once, or
   * the promise is rejected by then.
   * @param proved resolves when the other side has proved itself elsewhere: it does not say `expect` then
   * @returns how many tries it took, less one; with purpose `hand`, its descriptor
   * @throws OpeningError
   */
  open(opening: Opening, signal?: AbortSignal, proved?: Promise<void>): Promise<number> {
    return this.#begin((id) => {
      void proved?.then(() => this.native.proved(id));
      return this.native.open({ ...opening, id, purpose: PURPOSE[opening.purpose] });
    }, signal);
  }

  /**
   * Makes so many connections for the pool: see `NativeConnector.fill`. Resolves when none of them is under way any
   * more.
   * @returns how many it became
   * @throws OpeningError when it is given up
   */
  fill(filling: Filling, ports: Uint16Array, secrets: Uint8Array, signal: AbortSignal): Promise<number> {
    const common = { ...filling, purpose: PURPOSE[filling.purpose], remotePort: 0 };
    return this.#begin((id) => this.native.fill({ ...common, id }, ports, secrets), signal);
  }

  /**
   * The same over the signalling channel to that peer, without JavaScript at the other side.
   * @throws OpeningError also when there is no such channel
   */
  call(peer: number, count: number, low: number, signal: AbortSignal): Promise<number> {
    return this.#begin((id) => this.native.call(id, peer, count, low), signal);
  }

  drop(peer: number): void {
    this.native.drop(peer);
  }

  listeners(rows: Uint32Array): void {
    this.native.listeners(rows);
  }

  arriving(): number {
    return this.native.arriving();
  }

  ready(peer: number): number {
    return this.native.ready(peer);
  }

  close(): void {
    this.native.close();
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(new OpeningError(0));
  }

  #onEvent(event: Event, subject: number, detail: number) {
    switch (event) {
      case im_event.IM_EVENT_OPENED:
      case im_event.IM_EVENT_FILLED:
        return this.#take(subject)?.resolve(detail);
      case im_event.IM_EVENT_FAILED:
        return this.#take(subject)?.reject(new OpeningError(detail));
      case im_event.IM_EVENT_USED:
        return this.options.onUsed(subject);
      case im_event.IM_EVENT_LOST:
        return this.options.onLost(subject);
      case im_event.IM_EVENT_REFUSED:
        return this.options.onRefused(subject, detail);
      case im_event.IM_EVENT_SILENT:
        return this.options.onSilent(subject);
      case im_event.IM_EVENT_SIGNALLING_ENDED:
        return this.options.onSignallingEnded(subject);
      case im_event.IM_EVENT_MISSED:
        return this.options.onMissed(subject);
      default:
        event satisfies never;
    }
  }

  /** @param begin returns 0, or an errno */
  #begin(begin: (id: number) => number, signal?: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new OpeningError(0));
      const id = ++this.#last;
      const onAbort = () => {
        // Otherwise the connection has ended already, and the event that reports it is on its way.
        if (this.native.cancel(id)) this.#take(id)?.reject(new OpeningError(0));
      };
      this.#waiting.set(id, { resolve, reject, done: () => signal?.removeEventListener('abort', onAbort) });
      signal?.addEventListener('abort', onAbort, { once: true });
      const error = begin(id);
      if (error !== 0) this.#take(id)?.reject(new OpeningError(error));
    });
  }

  #take(id: number): Waiter | undefined {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiter?.done();
    return waiter;
  }
}
