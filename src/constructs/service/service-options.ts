import type { HostFunction } from '../host/host-function';

/** How a service is served. */
export interface ServiceOptions {
  /**
   * The hosts that serve it, all of this cluster. A connection to the service that finds none of them running allocates the first one,
   * and is held until that listens. The others are allocated in this order, one more whenever all that run are full.
   *
   * @default - none, which requires `instances`
   */
  readonly hosts?: HostFunction[];

  /**
   * Names of host instances that serve it, too. Those that have joined and have room are chosen before any of `hosts`.
   *
   * @default - none, which requires `hosts`
   */
  readonly instances?: string[];

  /**
   * How many connections make a host full: 1 to 100,000. Then others are chosen, and one more is allocated; connections wait for it. A
   * mark, and no ceiling: when all hosts are full, the one with the fewest connections is chosen.
   *
   * @default 100
   */
  readonly maxConnections?: number;

  /**
   * How much CPU makes a host full as well, in percent of one CPU: 1 to 10,000.
   *
   * @default - CPU does not count
   */
  readonly maxCpu?: number;

  /**
   * Whether a member that connects stays with the host that it was connected to before, be it full or asleep, unless it fails.
   *
   * @default false
   */
  readonly sticky?: boolean;

  /**
   * The service's virtual address, inside the cluster's `cidr`.
   *
   * @default - it follows from the service's name
   */
  readonly address?: string;
}
