import type * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type { SeedNodeOptions } from '../seed/seed-node';

/** Properties of an ImaginaryCluster. */
export interface ImaginaryClusterProps extends SeedNodeOptions {
  /**
   * The cluster's name: 1 to 32 letters, digits and hyphens. Its functions are called `<cluster>-<host>`, so it must be
   * unique in its account and region.
   *
   * @default - the stack's name and the construct's id
   */
  readonly clusterName?: string;

  /**
   * The block that virtual addresses are taken from, /16 to /28. It must not overlap a network that guests talk to.
   *
   * @default '100.64.0.0/16'
   */
  readonly cidr?: string;

  /**
   * The key that everything that joins must know: a random string of at least 16 characters.
   *
   * @default - a generated secret
   */
  readonly clusterKey?: secretsmanager.ISecret;

  /**
   * How long the logs of hosts are kept, unless a host says otherwise.
   *
   * @default logs.RetentionDays.ONE_MONTH
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * Reserve a concurrency of one for each host's function, unless the host says otherwise: see `HostOptions.reserveConcurrency`. Of
   * pooled hosts nothing is reserved.
   *
   * @default false
   */
  readonly reserveConcurrency?: boolean;

  /**
   * Whether the seed learns which hosts each host connects to after its allocation, and starts them together with it from then on: see
   * `HostOptions.prefetch`. Hosts that are named in `connectsTo` are started anyway.
   *
   * @default true
   */
  readonly prefetch?: boolean;

  /**
   * How many hosts may be started in a minute, in the whole cluster: 1 to 100,000. So many may be started at once; after that, the
   * minute's share comes back evenly. An allocation counts, also one after a failure, and so does waking a suspended host. Beyond the
   * limit a connect that would start a host fails with ENOBUFS, and `imaginary events` shows `limited`. Hosts that run are reached as ever.
   *
   * @default 2000
   */
  readonly maxAllocationsPerMinute?: number;

  /**
   * How many hosts one member may start in a minute by connecting to them: 1 to 100,000. A member is a host or a client. It is
   * counted and refused as with `maxAllocationsPerMinute`; other members are not concerned.
   *
   * @default 500
   */
  readonly maxAllocationsPerMinutePerMember?: number;

  /**
   * How many hosts may be allocated or run at one time: 1 to 100,000. Imagined and suspended hosts do not count. Beyond the limit a
   * connect that would start another host fails with ENOBUFS, and `imaginary events` shows `limited`.
   *
   * @default 1000
   */
  readonly maxRunningHosts?: number;
}
