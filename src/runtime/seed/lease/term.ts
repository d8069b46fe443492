/**
 * What follows from a lease's times. Nothing here has a clock or a timer: the lease uses it with those of its process, the
 * model with its own.
 */

/** Parts of the duration: between two renewals or looks, for one request, and by which the holder stops earlier. */
export const STEPS = 5;

/** The holder, whose last renewal was sent at `sentAt`, may act before the time that is returned. */
export function endOfTerm(sentAt: number, duration: number): number {
  return sentAt + duration - duration / STEPS;
}

export function mayAct(now: number, end: number): boolean {
  return now < end;
}

/** Another process, which saw the last renewal at `seenAt`, may take the lease from then on. */
export function freeFrom(seenAt: number, duration: number): number {
  return seenAt + duration;
}

/**
 * What the next holder's clock of epochs begins with. The holder before acted for the lease's duration after it wrote
 * the item, at the most.
 */
export function clockAfter(
  before: { readonly clock: number; readonly duration: number } | undefined,
  timeOfDay: number,
): number {
  return before ? Math.max(timeOfDay, before.clock + before.duration + 1) : timeOfDay;
}
