/** What a member asks of the seed's coordination service: barriers, and the list of members. */

import type { FromSeed } from '../../contract/control/from-seed';
import type { BarrierReply, MemberEntry } from '../../contract/control/membership';
import type { ToSeed } from '../../contract/control/to-seed';
import type { FrameOf } from './session-options';

/** All of it has to hold. */
export interface BarrierRule {
  /** So many hosts have joined. */
  readonly count?: number;
  /** These have: they are allocated. */
  readonly hosts?: readonly string[];
  /** Milliseconds. */
  readonly timeout: number;
}

export interface BarrierOptions {
  readonly signal?: AbortSignal;
  /** `performance.now()` when the wait began, from which `timeout` counts. Default: now. */
  readonly since?: number;
}

/** Beyond a barrier's own time: the seed's answer, which has the names that are missing, is better than none. */
const ANSWER_LIMIT = 3_000;

/** The hosts have not joined in time, or cannot. */
export class BarrierError extends Error {
  /**
   * @param code `failed`: the seed says so. `silent`: the seed has not answered. `ended`: nobody waits any longer
   * @param missing names of hosts that have not joined, as far as they are known
   */
  constructor(
    readonly code: 'failed' | 'silent' | 'ended',
    message: string,
    readonly missing: readonly string[] = [],
  ) {
    super(message);
    this.name = 'BarrierError';
  }
}

/** Gets the list of members, and what changes. */
export interface MembersHandler {
  /** From now on a list comes anew: what was said before may have changed unseen. */
  onRestart(): void;
  /** `complete`: this is all that is known. */
  onMembers(members: readonly MemberEntry[], complete: boolean): void;
}

interface Waiting {
  readonly rule: BarrierRule;
  readonly since: number;
  readonly settle: (error?: BarrierError) => void;
}

export class Coordination {
  readonly #send: (frame: ToSeed) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  #follower: MembersHandler | undefined;
  /** Of the list that is sent now. */
  #list = 0;
  #lastBarrier = 0;
  #ended: string | undefined;

  /** @param send false: there is no connection to the seed; `joined` is called when there is one again */
  constructor(send: (frame: ToSeed) => boolean) {
    this.#send = send;
  }

  /**
   * Resolves when the barrier is met.
   * @throws BarrierError
   */
  barrier(rule: BarrierRule, { signal, since = performance.now() }: BarrierOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(new BarrierError('ended', this.#ended));
      const id = ++this.#lastBarrier;
      const silent = new BarrierError('silent', `the seed has not answered within ${rule.timeout} ms`);
      const timer = setTimeout(() => settle(silent), leftOf(rule, since) + ANSWER_LIMIT);
      const onAbort = () => {
        this.#send({ type: 'leaveBarrier', id });
        settle(new BarrierError('ended', 'given up by the caller'));
      };
      const settle = (error?: BarrierError) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(id);
        if (error) reject(error);
        else resolve();
      };
      this.#waiting.set(id, { rule, since, settle });
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#ask(id);
    });
  }

  /** One handler at a time gets the members. @returns ends it */
  follow(handler: MembersHandler): () => void {
    this.#follower = handler;
    this.#askMembers();
    return () => {
      if (this.#follower !== handler) return;
      this.#follower = undefined;
      this.#send({ type: 'membership', id: this.#list, op: 'end' });
    };
  }

  /** There is a connection again, maybe to another seed. */
  joined(): void {
    for (const id of this.#waiting.keys()) this.#ask(id);
    if (this.#follower) this.#askMembers();
  }

  onFrame(frame: FrameOf<FromSeed, 'members' | 'barrierReply'>): void {
    if (frame.type === 'barrierReply') this.#answer(frame);
    else if (frame.id === this.#list && this.#follower) {
      this.#follower.onMembers(frame.members, frame.complete);
      this.#send({ type: 'membership', id: frame.id, op: 'next' });
    }
  }

  end(reason: string): void {
    this.#ended = reason;
    this.#follower = undefined;
    for (const { settle } of [...this.#waiting.values()]) settle(new BarrierError('ended', reason));
  }

  #ask(id: number): void {
    const { rule, since } = this.#waiting.get(id)!;
    this.#send({ type: 'barrier', id, count: rule.count, hosts: rule.hosts, timeout: leftOf(rule, since) });
  }

  #askMembers(): void {
    this.#list += 1;
    this.#follower?.onRestart();
    this.#send({ type: 'membership', id: this.#list, op: 'follow' });
  }

  #answer({ id, met, present, missing = [], reason = '' }: BarrierReply): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    const why = () => new BarrierError('failed', explain(waiting.rule, present, missing, reason), missing);
    waiting.settle(met ? undefined : why());
  }
}

function leftOf({ timeout }: BarrierRule, since: number): number {
  return Math.max(0, Math.round(timeout - (performance.now() - since)));
}

/** Why a barrier is not met, for people: with the names that are missing. */
function explain({ count, timeout }: BarrierRule, present: number, missing: readonly string[], reason: string): string {
  const parts = [
    missing.length > 0 ? `missing: ${missing.map((name) => `'${name}'`).join(', ')}` : '',
    count !== undefined && present < count ? `${present} of ${count} hosts have joined` : '',
  ];
  const what = parts.filter(Boolean).join('; ') || reason;
  return reason === 'the time is up' ? `not met within ${timeout} ms: ${what}` : `cannot be met: ${reason}`;
}
