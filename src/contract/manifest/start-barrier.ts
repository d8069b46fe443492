/** The start barrier of a host: its schema, and what it must have in common with the rest of the manifest. */
import * as v from 'valibot';
import * as limits from './limits';
import { orService } from './service';

const COUNT_RULE = `a whole number of hosts from ${limits.BARRIER_LIMITS.count.low} to ${limits.BARRIER_LIMITS.count.high}`;
const HOSTS_RULE = `an array of 1 to ${limits.MOST_BARRIER_HOSTS} names of hosts`;
const { low, high, unit, default: otherwise } = limits.BARRIER_LIMITS.timeout;
const TIMEOUT_RULE = `a whole number of ${unit} from ${low} to ${high}`;

const inRange = (limit: limits.Limit, rule: string) =>
  v.pipe(v.number(rule), v.integer(rule), v.minValue(limit.low, rule), v.maxValue(limit.high, rule));

/** The guest starts when all of this holds. */
export const startBarrier = v.pipe(
  v.strictObject({
    /** So many hosts have joined, this one included. */
    count: v.optional(inRange(limits.BARRIER_LIMITS.count, COUNT_RULE)),
    /** These have. They are allocated for it. */
    hosts: v.optional(
      v.pipe(
        v.array(v.string(HOSTS_RULE), HOSTS_RULE),
        v.minLength(1, HOSTS_RULE),
        v.maxLength(limits.MOST_BARRIER_HOSTS, HOSTS_RULE),
      ),
    ),
    /** The host has failed when it has waited for so long. */
    timeout: v.optional(inRange(limits.BARRIER_LIMITS.timeout, TIMEOUT_RULE), otherwise),
  }),
  v.check(({ count, hosts }) => count !== undefined || hosts !== undefined, "'count', 'hosts' or both"),
);

interface Host {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly kind: 'function' | 'instance';
  readonly startBarrier?: { readonly count?: number; readonly hosts?: readonly string[] };
}

interface Barred {
  readonly hosts: readonly Host[];
  readonly services: ReadonlyArray<{ readonly name: string }>;
}

/** Barriers that no run of this cluster could meet. */
export function barrierProblems({ hosts, services }: Barred): string[] {
  const known = new Map(hosts.flatMap((host) => [host.name, ...host.aliases].map((name) => [name, host] as const)));
  return hosts.flatMap((host, i) => {
    const { startBarrier: barrier, name, kind } = host;
    if (!barrier) return [];
    const at = `hosts.${i}.startBarrier`;
    if (kind === 'instance') {
      return [`${at}: is set on host '${name}'; allowed: only for kind 'function', as an instance starts itself`];
    }
    const problems = (barrier.hosts ?? []).flatMap((other, j) => {
      const found = known.get(other);
      if (found && found !== host) return [];
      const is = orService(other, services);
      return [`${at}.hosts.${j}: is "${other}" on host '${name}'${is}; allowed: the name of another host`];
    });
    const { count = 1 } = barrier;
    if (count > hosts.length) {
      problems.push(
        `${at}.count: is ${count} on host '${name}'; allowed: up to ${hosts.length}, as many hosts as there are`,
      );
    }
    return problems;
  });
}
