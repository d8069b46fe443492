/** The native connector, with promises for its events. What connections are for is its callers' business. */
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

export interface Connector extends Pick<NativeConnector, 'drop' | 'listeners' | 'arriving' | 'ready'> {
  /** For the shim service, which answers what this one can answer without JavaScript. */
  readonly native: NativeConnector;
  /**
   * Makes a connection. Resolves when it stands and has gone where its purpose says.
   * @returns how many tries it took, less one; with purpose `hand`, its descriptor
   * @throws OpeningError
   */
  open(opening: Opening, signal?: AbortSignal): Promise<number>;
  /**
   * Makes so many connections for the pool: see `NativeConnector.fill`. Resolves when none of them is under way any more.
   * @returns how many it became
   * @throws OpeningError when it is given up
   */
  fill(filling: Filling, ports: Uint16Array, secrets: Uint8Array, signal: AbortSignal): Promise<number>;
  /** The same over the signalling channel to that peer, without JavaScript at the other side. @throws OpeningError also when there is none */
  call(peer: number, count: number, low: number, signal: AbortSignal): Promise<number>;
  close(): void;
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
  /** What came from that peer met no listener on `port`. */
  readonly onRefused: (peer: number, port: number) => void;
}

export function openConnector(options: ConnectorOptions): Connector {
  const waiting = new Map<number, { resolve(detail: number): void; reject(error: OpeningError): void }>();
  let last = 0;
  const settle = (id: number) => {
    const waiter = waiting.get(id);
    waiting.delete(id);
    return waiter;
  };
  const native = options.native.openConnector(options.aliasBase, (event, subject, detail) => {
    if (event === im_event.IM_EVENT_OPENED || event === im_event.IM_EVENT_FILLED) settle(subject)?.resolve(detail);
    else if (event === im_event.IM_EVENT_FAILED) settle(subject)?.reject(new OpeningError(detail));
    else if (event === im_event.IM_EVENT_USED) options.onUsed(subject);
    else if (event === im_event.IM_EVENT_LOST) options.onLost(subject);
    else if (event === im_event.IM_EVENT_REFUSED) options.onRefused(subject, detail);
    else if (event === im_event.IM_EVENT_SILENT) options.onSilent(subject);
    else if (event === im_event.IM_EVENT_SIGNALLING_ENDED) options.onSignallingEnded(subject);
    else if (event === im_event.IM_EVENT_MISSED) options.onMissed(subject);
  });

  /** `begin`: 0, or an errno. */
  const begun = (begin: (id: number) => number, signal?: AbortSignal) =>
    new Promise<number>((resolve, reject) => {
      if (signal?.aborted) return reject(new OpeningError(0));
      const id = ++last;
      const onAbort = () => {
        // Otherwise it has ended already: what became of it is about to be told.
        if (native.cancel(id)) settle(id)?.reject(new OpeningError(0));
      };
      const done = () => signal?.removeEventListener('abort', onAbort);
      waiting.set(id, {
        resolve: (detail) => {
          done();
          resolve(detail);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      const error = begin(id);
      if (error !== 0) settle(id)?.reject(new OpeningError(error));
    });

  return {
    native,
    open: (opening, signal) =>
      begun((id) => native.open({ ...opening, id, purpose: PURPOSE[opening.purpose] }), signal),
    fill: (filling, ports, secrets, signal) =>
      begun(
        (id) => native.fill({ ...filling, id, purpose: PURPOSE[filling.purpose], remotePort: 0 }, ports, secrets),
        signal,
      ),
    call: (peer, count, low, signal) => begun((id) => native.call(id, peer, count, low), signal),
    drop: (peer) => native.drop(peer),
    listeners: (rows) => native.listeners(rows),
    arriving: () => native.arriving(),
    ready: (peer) => native.ready(peer),
    close: () => {
      native.close();
      for (const id of [...waiting.keys()]) settle(id)?.reject(new OpeningError(0));
    },
  };
}
