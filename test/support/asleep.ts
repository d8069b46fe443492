/** Hosts that sleep: suspended, and frozen. */
import type { TestCluster } from './cluster';
import { eventually } from './eventually';

/**
 * Until the host has gone to sleep so many times. The platform writes END once the sandbox is frozen: before, a guest may
 * still answer, and nobody has to wake it.
 */
export async function untilAsleep(cluster: TestCluster, host: string, sleeps: number): Promise<void> {
  let seen = 0;
  await cluster.waitFor((e) => e.event === 'suspended' && e.host === host && ++seen === sleeps);
  await eventually(async () => (await cluster.logs(host)).split('END RequestId').length > sleeps);
}
