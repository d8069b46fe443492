/** Services of a cluster: one name and one virtual address for several hosts, of which each connect picks one. */
import * as v from 'valibot';
import type { Immutable } from '../fields';
import { parseAddress } from './address';
import { HOST_NAME_PATTERN, HOST_NAME_RULE, RESERVED_NAME_PATTERN, SERVICE_LIMITS } from './limits';

const nameOfService = v.pipe(
  v.string(HOST_NAME_RULE),
  v.regex(HOST_NAME_PATTERN, HOST_NAME_RULE),
  v.check(
    (s) => !RESERVED_NAME_PATTERN.test(s),
    "a name that the cluster does not reserve ('node-ID', 'localhost', 'seed')",
  ),
);
const ADDRESS_RULE = "an IPv4 address inside the cluster's cidr";
const namesOfHosts = v.array(v.string('the name of a host'), 'names of hosts');
const { low, high } = SERVICE_LIMITS.maxConnections;
const MAX_CONNECTIONS_RULE = `a whole number of connections from ${low} to ${high}`;
const { low: lowCpu, high: highCpu } = SERVICE_LIMITS.maxCpu;
const MAX_CPU_RULE = `a whole number of percent of one CPU from ${lowCpu} to ${highCpu}`;

export const serviceSchema = v.strictObject({
  /** RFC 1123 label, lower case. */
  name: nameOfService,
  /** Virtual address inside the cluster's CIDR. Absent: it follows from the name. */
  address: v.optional(
    v.pipe(
      v.string(ADDRESS_RULE),
      v.check((s) => parseAddress(s) !== undefined, ADDRESS_RULE),
    ),
  ),
  /** Hosts of kind `function` that serve it. In this order they are imagined. */
  hosts: v.optional(namesOfHosts, []),
  /** Hosts of kind `instance` that serve it: chosen before functions. */
  instances: v.optional(namesOfHosts, []),
  /** A member with so many connections is full: others are chosen, and one more is imagined. */
  maxConnections: v.optional(
    v.pipe(
      v.number(MAX_CONNECTIONS_RULE),
      v.integer(MAX_CONNECTIONS_RULE),
      v.minValue(low, MAX_CONNECTIONS_RULE),
      v.maxValue(high, MAX_CONNECTIONS_RULE),
    ),
    SERVICE_LIMITS.maxConnections.default,
  ),
  /** A member whose guests use more CPU is full as well: percent of one CPU. Absent: CPU does not count. */
  maxCpu: v.optional(
    v.pipe(
      v.number(MAX_CPU_RULE),
      v.integer(MAX_CPU_RULE),
      v.minValue(lowCpu, MAX_CPU_RULE),
      v.maxValue(highCpu, MAX_CPU_RULE),
    ),
  ),
  /** A member that connects stays with the host that it was connected to before, unless that fails. */
  sticky: v.optional(v.boolean('true or false'), false),
});

export type GivenService = v.InferOutput<typeof serviceSchema>;
export type ManifestService = Immutable<GivenService & { address: string }>;

interface HostOfManifest {
  readonly name: string;
  readonly kind: 'function' | 'instance';
}

/** For a message about a name that is no host's. */
export function orService(name: string, services: ReadonlyArray<{ readonly name: string }>): string {
  return services.some((service) => service.name === name) ? ', which is a service' : '';
}

/** Members that are there, each once and of the kind that is said. @returns what is wrong, for people */
export function memberProblems(services: readonly GivenService[], hosts: readonly HostOfManifest[]): string[] {
  const kinds = new Map(hosts.map(({ name, kind }) => [name, kind]));
  return services.flatMap((service, i) => {
    const at = `services.${i}`;
    const members = new Set<string>();
    const problems: string[] = [];
    for (const [field, kind] of [
      ['hosts', 'function'],
      ['instances', 'instance'],
    ] as const) {
      service[field].forEach((member, j) => {
        const is = `${at}.${field}.${j}: is "${member}" on service '${service.name}'`;
        const found = kinds.get(member);
        if (!found) problems.push(`${is}${orService(member, services)}; allowed: the name of a host`);
        else if (found !== kind) problems.push(`${is}, of kind '${found}'; allowed: a host of kind '${kind}'`);
        else if (members.has(member)) problems.push(`${is} twice; allowed: each host once`);
        members.add(member);
      });
    }
    if (members.size === 0) {
      problems.push(`${at}: service '${service.name}' has no members; required: a host in 'hosts' or 'instances'`);
    }
    return problems;
  });
}
