/** What a member asks of the seed before its host stands still: to be suspended, and that its connection is kept. */
import type { ToSeed } from '../../contract/control/to-seed';
import type { FrameOf, SuspendReply } from './session-options';

/** Longer than the seed waits for members that know this host. */
const SUSPEND_LIMIT = 5_000;

export class Standstill {
  readonly #send: (frame: FrameOf<ToSeed, 'suspend'>) => boolean;
  readonly #reconnect: () => void;
  #suspending: ((reply: SuspendReply) => void) | undefined;
  #parking: ((parked: boolean) => void) | undefined;

  /** @param send false: there is no connection to the seed */
  constructor(send: (frame: FrameOf<ToSeed, 'suspend'>) => boolean, reconnect: () => void) {
    this.#send = send;
    this.#reconnect = reconnect;
  }

  /** See `Session.suspend`. */
  suspend(limit = SUSPEND_LIMIT): Promise<SuspendReply> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.suspended({ ok: false, reason: `the seed did not answer within ${limit} ms` });
        // The seed's answer may have been yes. Over a dead connection nothing takes that back: joining again does.
        this.#reconnect();
      }, limit);
      this.#suspending = (reply) => {
        this.#suspending = undefined;
        clearTimeout(timer);
        resolve(reply);
      };
      const sent = this.#send({ type: 'suspend' });
      if (!sent) this.suspended({ ok: false, reason: 'there is no connection to the seed' });
    });
  }

  /** The seed's answer to `suspend`, or why there is none. */
  suspended({ ok, reason }: SuspendReply): void {
    this.#suspending?.({ ok, reason });
  }

  /** Waits for the seed's answer to `leave` with `park`. False: there is none within `limit` ms. */
  async granted(limit: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const granted = await new Promise<boolean>((resolve) => {
      this.#parking = resolve;
      timer = setTimeout(() => resolve(false), limit);
    });
    clearTimeout(timer);
    this.#parking = undefined;
    return granted;
  }

  /** The seed keeps the connection, or it is lost. */
  parked(kept: boolean): void {
    this.#parking?.(kept);
  }
}
