/** What the guests of a run have written about their calls, and what the seed has written about its hosts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterEvent } from '../../../src/contract/control/from-seed';

/** One call as `guest.py` writes it: a connect, a request, or what a server found wrong. */
export interface Call {
  readonly by: string;
  readonly to: string;
  readonly op: 'connect' | 'request' | 'serve';
  readonly id: number;
  /** When it began, by the time of day, and how long it took: milliseconds. */
  readonly at: number;
  readonly ms: number;
  /** `ok`, an errno's name, `eof`, `wrong`; `open` while it has not ended. */
  readonly end: string;
  /** What is wrong with the bytes. */
  readonly why?: string;
}

/** @returns undefined where the line is not one of a guest's about a call */
export function callOf(line: string): Call | undefined {
  if (!line.startsWith('{"chaos": 1,')) return undefined;
  try {
    return JSON.parse(line) as Call;
  } catch {
    return undefined; // its guest was killed in the middle of it
  }
}

/** Without calls that were written while they were open, and whose end was written too. */
export function lastWords(calls: readonly Call[]): Call[] {
  const last = new Map<string, Call>();
  for (const call of calls) {
    const key = `${call.by} ${call.id} ${call.at}`;
    if (call.end !== 'open' || (last.get(key)?.end ?? 'open') === 'open') last.set(key, call);
  }
  return [...last.values()];
}

/** Lines of JSON; what begins or ends in the middle of another line is left out. */
function* objectsOf(file: string): Generator<Record<string, unknown>> {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (!line.startsWith('{')) continue;
    try {
      yield JSON.parse(line);
    } catch {
      // Its writer was killed in the middle of it.
    }
  }
}

/** What guests of hosts have called. */
export function callsInLogs(folder: string): Call[] {
  const files = readdirSync(folder).filter((name) => !name.startsWith('seed.log'));
  return files.flatMap((name) =>
    [...objectsOf(join(folder, name))].flatMap(({ stream, line }) => {
      const call = stream === 'stdout' ? callOf(String(line)) : undefined;
      return call ? [call] : [];
    }),
  );
}

/** What the seeds of the run have logged, in order: unlike what `events` prints, across their ends. */
export function eventsInLogs(folder: string): ClusterEvent[] {
  const files = readdirSync(folder).filter((name) => name.startsWith('seed.log'));
  // The older one is `seed.log.1`.
  return files
    .sort((a, b) => b.length - a.length)
    .flatMap((name) =>
      [...objectsOf(join(folder, name))].map(({ time, level: _, message, host = null, ...detail }) => ({
        time: Date.parse(String(time)),
        host: host as string | null,
        event: String(message),
        detail: detail as ClusterEvent['detail'],
      })),
    );
}
