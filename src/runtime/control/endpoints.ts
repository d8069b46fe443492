import { pause } from '../pause';
import { ControlError, type SeedEndpoint } from './connection';

export interface FirstOptions {
  /** The one that is likely to answer comes first. */
  readonly endpoints: readonly SeedEndpoint[];
  readonly signal: AbortSignal | undefined;
  /** Milliseconds in which one of them has to answer. Absent: any time. */
  readonly limit?: number;
  /** An attempt has failed, and there will be another one. */
  readonly onFailure?: (error: ControlError) => void;
}

/** Milliseconds that the first has before the second is tried as well: one that stands still refuses nothing. */
const HEAD_START = 250;
const FIRST_RETRY = 50;
const LAST_RETRY = 1_000;

/**
 * Connects to the seed where there are two, of which one serves: to each by itself, again and again, until one answers.
 * @param connect rejects when its signal is aborted
 * @throws ControlError when one says no, when the signal is aborted, or when the time is up
 */
export async function connectToFirst<T>(
  { endpoints, signal, limit, onFailure }: FirstOptions,
  connect: (endpoint: SeedEndpoint, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  let last: ControlError | undefined;
  let timer: NodeJS.Timeout | undefined;
  let startNext: () => void = () => undefined;
  const afterFirst = new Promise<void>((resolve) => {
    startNext = resolve;
  });

  const keepTrying = async (endpoint: SeedEndpoint, turn: number, given: AbortSignal): Promise<T> => {
    if (turn > 0) await Promise.race([pause(HEAD_START, given), afterFirst]);
    for (let delay = FIRST_RETRY; ; delay = Math.min(delay * 2, LAST_RETRY)) {
      try {
        return await connect(endpoint, given);
      } catch (error) {
        if (!(error instanceof ControlError) || error.code !== 'unreachable' || given.aborted) throw error;
        last = error;
        onFailure?.(error);
        startNext();
      }
      await pause(delay * (0.5 + Math.random()), given);
    }
  };

  const timeIsUp = new Promise<never>((_, reject) => {
    if (limit === undefined) return;
    const fail = () => {
      const { seed } = endpoints[0];
      reject(last ?? new ControlError('unreachable', `the seed at ${seed} did not answer within ${limit} ms`, seed));
    };
    timer = setTimeout(fail, limit);
  });
  timeIsUp.catch(() => undefined); // only where it comes first
  const attempts = endpoints.map((endpoint, turn) => {
    const own = new AbortController();
    const given = signal ? AbortSignal.any([signal, own.signal]) : own.signal;
    const outcome = keepTrying(endpoint, turn, given).then((value) => ({ value, own }));
    outcome.catch(() => undefined); // only where it comes first
    return { own, outcome };
  });
  let winner: AbortController | undefined;
  try {
    const { value, own } = await Promise.race([...attempts.map(({ outcome }) => outcome), timeIsUp]);
    winner = own;
    return value;
  } finally {
    clearTimeout(timer);
    // A connection that the other one makes all the same is closed with it.
    for (const { own } of attempts) if (own !== winner) own.abort();
  }
}
