/** Ports of the seed that clients from outside of the cluster connect to: schema, and rules across entries. */
import * as v from 'valibot';
import type { Immutable } from '../fields';
import * as limits from './expose-limits';
import { tlsSchema } from './expose-tls';
import type { Limit } from './limits';

const whole = ({ low, high, unit }: Limit, what = `a whole number of ${unit}`) => {
  const rule = `${what} from ${low} to ${high}`;
  return v.pipe(v.number(rule), v.integer(rule), v.minValue(low, rule), v.maxValue(high, rule));
};
const limited = (limit: Limit) => v.optional(whole(limit), limit.default);
const { EXPOSE_LIMITS } = limits;

const exposeFields = v.strictObject({
  /** The name of a host or a service that the connections go to. */
  host: v.string('a string'),
  /** At the seed. */
  port: whole(EXPOSE_LIMITS.port, 'a port number'),
  /** At the host. Absent: as `port`. */
  hostPort: v.optional(whole(EXPOSE_LIMITS.hostPort, 'a port number')),
  protocol: v.optional(v.picklist(['tcp', 'udp'], "'tcp' or 'udp'"), 'tcp'),
  /** Clients at other addresses are refused. */
  allowFrom: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(limits.ALLOW_RULE), v.check(limits.isAllowedBlock, limits.ALLOW_RULE))),
      v.minLength(1, 'at least one block'),
      v.maxLength(limits.MOST_ALLOWED, `at most ${limits.MOST_ALLOWED} blocks`),
    ),
    ['0.0.0.0/0'],
  ),
  /** Several hosts share the port: these names in a client's TLS hello are this one's. Empty: the port is its own. */
  serverNames: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(limits.SERVER_NAME_RULE), v.regex(limits.SERVER_NAME_PATTERN, limits.SERVER_NAME_RULE))),
      v.maxLength(limits.MOST_SERVER_NAMES, `at most ${limits.MOST_SERVER_NAMES} names`),
    ),
    [],
  ),
  /** The host gets a header of the PROXY protocol, version 2, before the client's own bytes. */
  proxyProtocol: v.optional(v.boolean('true or false'), false),
  /** The seed ends TLS: the host gets what the client says in plain. Absent: the client's bytes go on as they are. */
  tls: v.optional(tlsSchema),
  /** UDP: flows. Absent there: 32. */
  maxConnectionsPerClient: v.optional(whole(EXPOSE_LIMITS.maxConnectionsPerClient)),
  maxNewConnectionsPerMinutePerClient: limited(EXPOSE_LIMITS.maxNewConnectionsPerMinutePerClient),
  maxAllocationsPerMinutePerClient: limited(EXPOSE_LIMITS.maxAllocationsPerMinutePerClient),
  /** UDP: a flow ends after so long without a datagram in either direction. */
  flowTimeout: limited(EXPOSE_LIMITS.flowTimeout),
  /** A client whose connection waits for the host for longer is reset. Absent: the host's; of a service, the longest of its hosts'. */
  allocationTimeout: v.optional(whole(EXPOSE_LIMITS.allocationTimeout)),
});

const exposeSchema = v.pipe(
  exposeFields,
  v.transform((one) => ({
    ...one,
    maxConnectionsPerClient:
      one.maxConnectionsPerClient ??
      (one.protocol === 'udp' ? limits.FLOWS_PER_CLIENT : EXPOSE_LIMITS.maxConnectionsPerClient.default),
  })),
);

export const exposesSchema = v.pipe(
  v.array(exposeSchema, 'an array of exposed ports'),
  v.maxLength(limits.MOST_EXPOSED, `at most ${limits.MOST_EXPOSED} exposed ports`),
);
export type ManifestExpose = Immutable<v.InferOutput<typeof exposeSchema>>;

interface Exposing {
  readonly seed: { readonly port: number; readonly dataPort: number };
  readonly hosts: ReadonlyArray<{ readonly name: string; readonly aliases: readonly string[] }>;
  readonly services: ReadonlyArray<{ readonly name: string }>;
  readonly exposes?: readonly ManifestExpose[];
}

/** Names that are exposed and are nobody's, ports that are taken, and ports that two share although nothing tells them apart. */
export function exposeProblems({ seed, hosts, services, exposes = [] }: Exposing): string[] {
  const names = new Set([
    ...hosts.flatMap(({ name, aliases }) => [name, ...aliases]),
    ...services.map(({ name }) => name),
  ]);
  const problems: string[] = [];
  exposes.forEach((one, i) => {
    const at = `exposes.${i}`;
    const of = `of host '${one.host}'`;
    if (!names.has(one.host)) problems.push(`${at}.host: is "${one.host}"; allowed: the name of a host or a service`);
    problems.push(...ofUdp(at, one, services));
    // The seed's own ports are TCP.
    if (one.protocol === 'tcp' && (one.port === seed.port || one.port === seed.dataPort))
      problems.push(`${at}.port: is ${one.port} ${of}, which is the seed's own; allowed: another port`);
    exposes.slice(0, i).forEach((other, j) => {
      if (other.port === one.port && other.protocol === one.protocol) problems.push(...shared(at, one, j, other));
    });
  });
  return problems;
}

/** Nothing tells datagrams for several hosts apart, and there is no place for a header. */
function ofUdp(
  at: string,
  { host, protocol, serverNames, proxyProtocol, tls }: ManifestExpose,
  services: Exposing['services'],
): string[] {
  if (protocol !== 'udp') return [];
  return [
    ...(services.some(({ name }) => name === host)
      ? [
          `${at}.host: is "${host}", which is a service, and those are for protocol 'tcp' only; allowed: the name of a host`,
        ]
      : []),
    ...(serverNames.length > 0 ? [`${at}.serverNames: are for protocol 'tcp' only; allowed: none`] : []),
    ...(tls ? [`${at}.tls: is for protocol 'tcp' only; allowed: none`] : []),
    ...(proxyProtocol ? [`${at}.proxyProtocol: is for protocol 'tcp' only; allowed: false`] : []),
  ];
}

function shared(at: string, one: ManifestExpose, j: number, other: ManifestExpose): string[] {
  const udp = one.protocol === 'udp';
  const both = `${at}.port: is ${one.port} of host '${one.host}', as exposes.${j} of host '${other.host}'`;
  if (one.serverNames.length === 0 || other.serverNames.length === 0)
    return [`${both}; allowed: another port${udp ? '' : ", or 'serverNames' on both"}`];
  return one.serverNames
    .filter((name) => other.serverNames.includes(name))
    .map(
      (name) => `${at}.serverNames: has "${name}" of host '${one.host}', as exposes.${j} of host '${other.host}' has`,
    );
}
