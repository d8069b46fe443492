import { setTimeout } from 'node:timers/promises';

/** Waits for `delay` milliseconds, or until the signal is aborted. */
export async function pause(delay: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(delay, undefined, { signal }).catch(() => undefined);
}
