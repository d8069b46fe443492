/** Waits, as a process of a seed, until it holds the cluster's lease; and ends the process when it has lost it. */
import type { Log } from '../../control/session-options';
import type { LeaseFlags } from '../flags';
import { Lease } from './lease';
import { openLeaseTable } from './lease-table';

export interface HoldOptions {
  readonly flags: LeaseFlags;
  readonly cluster: string;
  readonly region: string;
  /** While the lease is waited for, and nobody is served: called when the wait has begun. */
  readonly onWait: () => void;
  /** Has to end the process at once, without waiting for anything: another seed may act from now on. */
  readonly onLost: (reason: string) => void;
  readonly log: Log;
}

/**
 * Milliseconds of grace after a takeover, at least. Members leave a seed that stands still after four heartbeats (2 s),
 * and try again every 1.5 s at the latest; the lease's margin (1 s) has passed before the takeover.
 */
export const TAKEOVER_GRACE = 3_000;

/** Milliseconds in which an instance boots and installs its seed, with time to spare. */
const YIELD_FIRST = 300_000;

/** Resolves with the lease once this process holds it. SIGTERM and SIGINT end a process that waits. */
export async function holdLease({ flags, cluster, region, onWait, onLost, log }: HoldOptions): Promise<Lease> {
  const end = () => process.exit(0);
  // The cluster keys are read when it takes over.
  const stay = () => undefined;
  process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', stay);
  const table = await openLeaseTable({ table: flags.table, cluster, region, endpoint: flags.endpoint });
  const yieldFirst = flags.second ? YIELD_FIRST : 0;
  const lease = new Lease({ table, duration: flags.duration, yieldFirst, onLost, log });
  onWait();
  await lease.acquire();
  process.off('SIGTERM', end).off('SIGINT', end).off('SIGHUP', stay);
  log('info', 'holds the lease', { number: lease.number, other: flags.other });
  return lease;
}
