import type { ConnectErrno } from '../../contract/control/errno';
import type { Location } from '../../contract/control/location';
import type { ToSeed } from '../../contract/control/to-seed';

/** Where a located port really is. */
export interface Located {
  readonly location: Location;
  readonly realPort: number;
}

/** The host cannot be connected to: the guest gets `errno`, and people the message. */
export class LocateError extends Error {
  constructor(
    readonly errno: ConnectErrno,
    message: string,
  ) {
    super(message);
    this.name = 'LocateError';
  }
}

export interface LocateOptions {
  readonly staleEpoch?: number;
  readonly signal?: AbortSignal;
  readonly protocol?: 'udp';
  /** `performance.now()` of the guest's call. Default: now. */
  readonly since?: number;
}

interface OpenLocate extends Omit<LocateOptions, 'signal'> {
  readonly host: string;
  readonly port: number;
  readonly since: number;
  readonly settle: (outcome: Located | LocateError) => void;
}

/** Requests to locate that the seed has not answered yet. They outlive a lost connection. */
export class Locates {
  readonly #open = new Map<number, OpenLocate>();
  #lastId = 0;
  /** Why a further request fails at once. */
  #problem: string | undefined;
  #ended = false;

  constructor(private readonly send: (frame: ToSeed) => void) {}

  /** @throws LocateError */
  add(
    host: string,
    port: number,
    { signal, since = performance.now(), ...rest }: LocateOptions = {},
  ): Promise<Located> {
    return new Promise((resolve, reject) => {
      if (this.#problem !== undefined) return reject(new LocateError('ENETUNREACH', this.#problem));
      const id = ++this.#lastId;
      const onAbort = () => {
        this.send({ type: 'cancel', id });
        this.settle(id, new LocateError('ETIMEDOUT', 'given up by the caller'));
      };
      const settle = (outcome: Located | LocateError) => {
        signal?.removeEventListener('abort', onAbort);
        if (outcome instanceof LocateError) reject(outcome);
        else resolve(outcome);
      };
      this.#open.set(id, { ...rest, host, port, since, settle });
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#request(id);
    });
  }

  settle(id: number, outcome: Located | LocateError): void {
    const locate = this.#open.get(id);
    this.#open.delete(id);
    locate?.settle(outcome);
  }

  /** The seed can be reached (again). @returns sends the requests again that are open both now and then */
  reachable(): () => void {
    if (!this.#ended) this.#problem = undefined;
    const ids = [...this.#open.keys()];
    return () => {
      for (const id of ids) this.#request(id);
    };
  }

  /** There has been no connection for so long that requests no longer wait for one. */
  unreachable(problem: string): void {
    this.#fail(problem, problem);
  }

  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#fail(reason, 'the session has ended');
  }

  #fail(reason: string, problem: string): void {
    this.#problem = problem;
    for (const id of [...this.#open.keys()]) this.settle(id, new LocateError('ENETUNREACH', reason));
  }

  #request(id: number): void {
    const locate = this.#open.get(id);
    if (!locate) return;
    const { host, port, staleEpoch, protocol, since } = locate;
    const waited = Math.round(performance.now() - since);
    this.send({ type: 'locate', id, host, port, staleEpoch, protocol, ...(waited > 0 ? { waited } : {}) });
  }
}
