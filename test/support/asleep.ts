/** Hosts that sleep: suspended, and frozen. */
import type { TestCluster } from './cluster';
import { eventually } from './eventually';

/** A host is not suspended any more when one of these follows. */
const AWAKE: ReadonlySet<string> = new Set(['resuming', 'allocating', 'resumed', 'running', 'joined']);

/**
 * Until the host sleeps, which it may have done before: on a busy machine it may fall asleep between any two lines of a
 * test. What wakes it has to be answered before, or it seems to sleep still.
 *
 * The platform writes END once the sandbox is frozen: before, a guest may still answer, and nobody has to wake it.
 */
export async function untilAsleep(cluster: TestCluster, host: string): Promise<void> {
  const past = (await cluster.events()).filter((event) => event.host === host);
  const sleeps = past.filter(({ event }) => event === 'suspended').length;
  const last = past.filter(({ event }) => event === 'suspended' || AWAKE.has(event)).at(-1);
  const wanted = last?.event === 'suspended' ? sleeps : sleeps + 1;
  let seen = 0;
  await cluster.waitFor((e) => e.event === 'suspended' && e.host === host && ++seen === wanted);
  await eventually(async () => (await cluster.logs(host)).split('END RequestId').length > wanted);
}
