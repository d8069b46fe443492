/**
 * The JSON document that describes a cluster: its schema, and the types that follow from it. All durations are
 * milliseconds.
 */
import * as v from 'valibot';
import type { Immutable } from '../fields';
import { parseAddress } from './address';
import { exposesSchema } from './expose';
import * as limits from './limits';
import { clusterPrefetch, hostPrefetch } from './prefetch';
import { parseSchedule, SCHEDULE_RULE } from './schedule';
import { type ManifestService, serviceSchema } from './service';
import { startBarrier } from './start-barrier';

const text = (rule = 'a string') => v.string(rule);
const matching = (pattern: RegExp, rule: string) => v.pipe(text(rule), v.regex(pattern, rule));
const whole = ({ low, high }: limits.Limit, what: string) => {
  const rule = `${what} from ${low} to ${high}`;
  return v.pipe(v.number(rule), v.integer(rule), v.minValue(low, rule), v.maxValue(high, rule));
};
/** A number that is optional: its default stands beside its limits. */
const limited = (limit: limits.Limit) => v.optional(whole(limit, `a whole number of ${limit.unit}`), limit.default);

const cString = v.pipe(
  text(),
  v.check((s) => !s.includes('\0'), 'a string without NUL characters'),
);
const hostName = v.pipe(
  matching(limits.HOST_NAME_PATTERN, limits.HOST_NAME_RULE),
  v.check(
    (s) => !limits.RESERVED_NAME_PATTERN.test(s),
    "a name that the cluster does not reserve ('node-ID', 'localhost', 'seed')",
  ),
);
const ADDRESS_RULE = "an IPv4 address inside the cluster's cidr";
const remappedPath = v.pipe(text(limits.REMAPPED_PATH_RULE), v.check(limits.isRemappedPath, limits.REMAPPED_PATH_RULE));
/** What keeps a host from being idle besides CPU use: any open connection, or only one that moves bytes. Or it never is. */
const releasePolicy = v.picklist(
  ['no-connections', 'no-traffic', 'never'],
  "'no-connections', 'no-traffic' or 'never'",
);
const restartPolicy = v.picklist(['never', 'on-failure', 'always'], "'never', 'on-failure' or 'always'");

const commandLine = v.pipe(
  v.array(cString, 'an array of strings'),
  v.minLength(1, 'at least the name of a program'),
  v.check((c) => c[0] !== '', 'a first element that names a program'),
);
const looks = { interval: limited(limits.READY_LIMITS.interval), timeout: limited(limits.READY_LIMITS.timeout) };
const readyWhen = v.variant(
  'kind',
  [
    /** Its guest listens. */
    v.strictObject({ kind: v.literal('listening') }),
    /** This command exits with 0. */
    v.strictObject({ kind: v.literal('command'), command: commandLine, ...looks }),
    /** GET of this path is answered with 200 to 399. Without a port: on the first one that the guest listens on. */
    v.strictObject({
      kind: v.literal('http'),
      path: v.pipe(text(), v.startsWith('/', "a path that begins with '/'")),
      port: v.optional(whole(limits.READY_LIMITS.port, 'a port number')),
      ...looks,
    }),
    /** A line of the guest's output matches this regular expression. */
    v.strictObject({
      kind: v.literal('log'),
      pattern: v.pipe(text(), v.check(isPattern, 'a regular expression of JavaScript')),
    }),
  ],
  "{ kind: 'listening' }, or of kind 'command', 'http' or 'log'",
);

function isPattern(source: string): boolean {
  try {
    return new RegExp(source) !== undefined;
  } catch {
    return false;
  }
}

export type ReleasePolicy = v.InferOutput<typeof releasePolicy>;

/** One named machine of a cluster. */
const hostSchema = v.strictObject({
  /** RFC 1123 label, lower case. */
  name: hostName,
  /** Further names that resolve to this host. */
  aliases: v.optional(v.array(hostName, 'an array of names'), []),
  /** Virtual address inside the cluster's CIDR. Absent: it follows from the name. */
  address: v.optional(
    v.pipe(
      text(ADDRESS_RULE),
      v.check((s) => parseAddress(s) !== undefined, ADDRESS_RULE),
    ),
  ),
  /** `function`: allocated by invoking `functionName`. `instance`: joins by itself. */
  kind: v.optional(v.picklist(['function', 'instance'], "'function' or 'instance'"), 'function'),
  /** Lambda function name, of kind `function`. Absent: `<cluster>-<host>`. */
  functionName: v.optional(matching(limits.FUNCTION_NAME_PATTERN, limits.FUNCTION_NAME_RULE)),
  /**
   * The host shares `functionName` with others, in sandboxes of its own: the function has tenant isolation, and the
   * host's name is the tenant.
   */
  pooled: v.optional(v.boolean('true or false'), false),
  /** The guest's command line. Required for kind `function`. */
  command: v.optional(commandLine),
  /** The guest's own environment. */
  environment: v.optional(
    v.record(matching(/^[^=\0]+$/, "a variable name without '='"), cString, 'names and values, both strings'),
    {},
  ),
  /**
   * Where the guest starts. Absent: of kind `function` its code, `/var/task`; of kind `instance` where `imaginary join`
   * was started.
   */
  workingDirectory: v.optional(v.pipe(cString, v.startsWith('/', 'an absolute path'))),
  /**
   * Paths that are somewhere else in truth, each with everything beneath it: the path that a guest names, and where
   * that is.
   */
  remappedFiles: v.optional(
    v.pipe(
      v.record(remappedPath, remappedPath, 'paths and where they are, both strings'),
      v.check(
        (files) => Object.keys(files).length <= limits.MOST_REMAPPED_FILES,
        `at most ${limits.MOST_REMAPPED_FILES} paths`,
      ),
      v.check(
        (files) => Object.entries(files).every(([path, target]) => !limits.isInside(target, path)),
        'paths that are remapped to places outside of themselves',
      ),
    ),
    {},
  ),
  memorySize: limited(limits.HOST_LIMITS.memorySize),
  /** Function timeout. */
  timeout: limited(limits.HOST_LIMITS.timeout),
  /** Idle for this long: suspended. */
  idleTimeout: limited(limits.HOST_LIMITS.idleTimeout),
  /** Suspended for this long: released. */
  releaseTimeout: limited(limits.HOST_LIMITS.releaseTimeout),
  /** A `connect` that caused an allocation fails with ETIMEDOUT after this long. */
  allocationTimeout: limited(limits.HOST_LIMITS.allocationTimeout),
  /** A host that listens somewhere refuses other ports once no listener was added for this long. */
  settleTime: limited(limits.HOST_LIMITS.settleTime),
  /** When other hosts may connect. */
  readyWhen: v.optional(readyWhen, { kind: 'listening' }),
  /** A guest for which this command fails three times in a row is ended, and has failed. */
  livenessCommand: v.optional(commandLine),
  /** Between two runs of `livenessCommand`, and for one of them. */
  livenessInterval: limited(limits.HOST_LIMITS.livenessInterval),
  /** Runs beside the guest before the host may get another sandbox. */
  onDrain: v.optional(commandLine),
  /** Runs beside the guest before the host is released. */
  onRelease: v.optional(commandLine),
  /** What `onDrain` and `onRelease` may take, each. */
  drainTimeout: limited(limits.HOST_LIMITS.drainTimeout),
  /** Between SIGTERM and SIGKILL. */
  stopTimeout: limited(limits.HOST_LIMITS.stopTimeout),
  releasePolicy: v.optional(releasePolicy, limits.HOST_DEFAULTS.releasePolicy),
  /** Whether a guest that has ended by itself is started again: after 500 ms, then after up to 30 s. */
  restartPolicy: v.optional(restartPolicy, limits.HOST_DEFAULTS.restartPolicy),
  /** The host is started whenever one of these hosts is, and is not suspended before them. */
  startWith: v.optional(v.array(cString, 'names of hosts'), []),
  ...hostPrefetch,
  /** What the guest's start waits for. */
  startBarrier: v.optional(startBarrier),
  /** When the host is started, or woken, although nobody connects to it: in UTC. */
  wakeSchedule: v.optional(
    v.pipe(
      text(),
      v.check((s) => parseSchedule(s) !== undefined, SCHEDULE_RULE),
    ),
  ),
});

/** What a cluster may cost: the seed refuses to start hosts beyond it. */
const limitsSchema = v.strictObject({
  /**
   * Starts of host functions for connects, allocations and resumptions, in the whole cluster: this many at once, and
   * this many a minute.
   */
  maxAllocationsPerMinute: limited(limits.CLUSTER_LIMITS.maxAllocationsPerMinute),
  /** The same for each member that connects. */
  maxAllocationsPerMinutePerMember: limited(limits.CLUSTER_LIMITS.maxAllocationsPerMinutePerMember),
  /** Host functions that are allocated or run at one time. */
  maxRunningHosts: limited(limits.CLUSTER_LIMITS.maxRunningHosts),
});
export type ManifestLimits = Immutable<v.InferOutput<typeof limitsSchema>>;

export const manifestSchema = v.strictObject({
  version: v.literal(1, '1'),
  cluster: v.strictObject({
    /** Part of function names. */
    name: matching(limits.CLUSTER_NAME_PATTERN, limits.CLUSTER_NAME_RULE),
    /** The block of virtual addresses. */
    cidr: v.optional(
      v.pipe(
        text(limits.CIDR_RULE),
        v.check((s) => limits.parseClusterCidr(s) !== undefined, limits.CIDR_RULE),
      ),
      limits.CIDR.default,
    ),
    limits: v.optional(limitsSchema, {}),
    ...clusterPrefetch,
  }),
  seed: v.optional(
    v.pipe(
      v.strictObject({
        /** TCP port of the control network. */
        port: v.optional(whole(limits.SEED_PORT, 'a port number'), limits.SEED_PORT.default),
        /** Port of what needs no key: probes of NATs, and relayed connections, which have tokens. */
        dataPort: v.optional(whole(limits.SEED_PORT, 'a port number')),
        /** A second seed stands by, and takes over when the first is gone. */
        standby: v.optional(v.boolean('true or false')),
      }),
      v.transform(({ port, dataPort, standby }) => ({
        port,
        dataPort: dataPort ?? limits.dataPortOf(port),
        ...(standby ? { standby } : {}),
      })),
    ),
    {},
  ),
  hosts: v.array(hostSchema, 'an array of hosts'),
  /** Ports of the seed for clients from outside. */
  exposes: v.optional(exposesSchema),
  services: v.optional(v.array(serviceSchema, 'an array of services'), []),
});

/** A manifest as it was written, with defaults filled in that do not follow from names. */
export type GivenManifest = v.InferOutput<typeof manifestSchema>;
export type ManifestHost = Immutable<v.InferOutput<typeof hostSchema> & { address: string }>;
export type Manifest = Immutable<Omit<GivenManifest, 'hosts' | 'services'>> & {
  readonly hosts: readonly ManifestHost[];
  readonly services: readonly ManifestService[];
};
