/**
 * Guests' questions to the seed: where is this port of that host? One question per port at a time, however many guests
 * wait for its answer. Questions outlive the connection to the seed, and the session too: while the host is suspended
 * they wait for the next one.
 */
import { HOST_LIMITS } from '../../../contract/manifest/limits';
import { type Located, LocateError, type Session } from '../../control/index';

export interface LocatorOptions {
  /** The epoch that a guest found unreachable. */
  readonly staleEpoch?: number;
  /** Aborted: this caller waits no longer. */
  readonly signal?: AbortSignal;
  /** A datagram is to be sent. Absent: a connection. */
  readonly protocol?: 'udp';
  /** `performance.now()` of the guest's call, from which on its deadline counts. Default: now. */
  readonly since?: number;
}

interface Waiter {
  readonly since: number;
  resolve(answer: Located): void;
  reject(error: LocateError): void;
}

interface Question {
  readonly host: string;
  readonly port: number;
  readonly protocol?: 'udp';
  staleEpoch?: number;
  /** Of the waiter that has waited longest, when it was sent. */
  since: number;
  readonly waiters: Set<Waiter>;
  readonly deadline: NodeJS.Timeout;
  /** Ends the present attempt. */
  attempt?: AbortController;
}

/** The longest time that a host may take to be allocated; the deadlines of the seed are much shorter. */
const LONGEST = HOST_LIMITS.allocationTimeout.high;

function keyOf({ host, port, protocol }: Pick<Question, 'host' | 'port' | 'protocol'>): string {
  return `${host}:${port}/${protocol ?? 'tcp'}`;
}

export class Locator {
  readonly #questions = new Map<string, Question>();
  #session: Pick<Session, 'locate'> | undefined;

  /** Questions with at least one waiter. */
  get pending(): number {
    return this.#questions.size;
  }

  /** @throws LocateError */
  locate(host: string, port: number, options: LocatorOptions = {}): Promise<Located> {
    const { staleEpoch, signal, protocol, since = performance.now() } = options;
    return new Promise((resolve, reject) => {
      const there = this.#questions.get(keyOf({ host, port, protocol }));
      const question = there ?? this.#open(host, port, staleEpoch, protocol);
      const onAbort = () => {
        question.waiters.delete(waiter);
        const why: unknown = signal?.reason;
        waiter.reject(why instanceof LocateError ? why : new LocateError('ETIMEDOUT', 'given up by the caller'));
        if (question.waiters.size === 0) this.#settle(question, () => undefined);
      };
      const done = () => signal?.removeEventListener('abort', onAbort);
      const waiter: Waiter = {
        since,
        resolve: (answer: Located) => {
          done();
          resolve(answer);
        },
        reject: (error: LocateError) => {
          done();
          reject(error);
        },
      };
      question.waiters.add(waiter);
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      const newDoubt = staleEpoch !== undefined && staleEpoch > (question.staleEpoch ?? -1);
      if (newDoubt) question.staleEpoch = staleEpoch;
      if (!there || newDoubt || since < question.since) this.#send(question);
    });
  }

  /** Sends questions through this session from now on; undefined: holds all of them. */
  use(session: Pick<Session, 'locate'> | undefined): void {
    this.#session = session;
    for (const question of this.#questions.values()) this.#send(question);
  }

  /** Fails all waiters. */
  close(reason: string): void {
    this.#session = undefined;
    for (const question of [...this.#questions.values()]) this.#fail(question, new LocateError('ENETUNREACH', reason));
  }

  #open(host: string, port: number, staleEpoch: number | undefined, protocol?: 'udp'): Question {
    const late = () => this.#fail(question, new LocateError('ETIMEDOUT', `no answer for ${host}:${port}`));
    const question: Question = {
      ...{ host, port, protocol, staleEpoch },
      since: Number.POSITIVE_INFINITY,
      waiters: new Set(),
      deadline: setTimeout(late, LONGEST),
    };
    question.deadline.unref();
    this.#questions.set(keyOf(question), question);
    return question;
  }

  #send(question: Question): void {
    question.attempt?.abort();
    question.attempt = undefined;
    if (!this.#session) return;
    const attempt = new AbortController();
    question.attempt = attempt;
    const { host, port, staleEpoch, protocol } = question;
    question.since = Math.min(...[...question.waiters].map(({ since }) => since));
    this.#session.locate(host, port, { staleEpoch, signal: attempt.signal, protocol, since: question.since }).then(
      (answer) => {
        if (this.#isOver(question, attempt)) this.#settle(question, (waiter) => waiter.resolve(answer));
      },
      (error: LocateError) => {
        if (this.#isOver(question, attempt)) this.#refused(question, error);
      },
    );
  }

  /**
   * The attempt has ended: it is not given up any more, for which an error would be made, with the stack and all.
   * @returns false: it was given up for a better one (or for none, until the next session), and settles nothing
   */
  #isOver(question: Question, attempt: AbortController): boolean {
    if (question.attempt !== attempt) return false;
    question.attempt = undefined;
    return true;
  }

  /** The seed's deadline is that of the waiter that has waited longest. The others have time left. */
  #refused(question: Question, error: LocateError) {
    const late = [...question.waiters].filter(({ since }) => since <= question.since);
    if (error.errno !== 'ETIMEDOUT' || late.length === question.waiters.size) return this.#fail(question, error);
    for (const waiter of late) {
      question.waiters.delete(waiter);
      waiter.reject(error);
    }
    this.#send(question);
  }

  #fail(question: Question, error: LocateError): void {
    this.#settle(question, (waiter) => waiter.reject(error));
  }

  #settle(question: Question, act: (waiter: Waiter) => void): void {
    clearTimeout(question.deadline);
    this.#questions.delete(keyOf(question));
    question.attempt?.abort();
    for (const waiter of question.waiters) act(waiter);
  }
}
