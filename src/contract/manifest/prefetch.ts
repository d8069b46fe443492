/** Hosts that are started together with a host, as it is likely to connect to them: the manifest's part of it. */
import * as v from 'valibot';
import { orService } from './service';

const switchedOn = v.optional(v.boolean('true or false'), true);

/** Of a host. */
export const hostPrefetch = {
  /** Hosts that this one connects to: started in the same moment as it is, whenever it is allocated. */
  connectsTo: v.optional(v.array(v.string('a string'), 'names of hosts'), []),
  /** Whether the seed learns by itself which hosts this one connects to. */
  prefetch: switchedOn,
};

/** Of a cluster. */
export const clusterPrefetch = {
  /** False: the seed learns no host's edges. */
  prefetch: switchedOn,
};

interface Host {
  readonly name: string;
  readonly kind: 'function' | 'instance';
  readonly connectsTo: readonly string[];
}

interface Edged {
  readonly hosts: readonly Host[];
  readonly services: ReadonlyArray<{ readonly name: string }>;
}

/** Declared edges lead from host functions to other hosts. Circles are allowed: a host that is up is not started. */
export function edgeProblems({ hosts, services }: Edged): string[] {
  const names = new Set(hosts.map(({ name }) => name));
  return hosts.flatMap(({ name, kind, connectsTo }, i) => {
    const at = `hosts.${i}.connectsTo`;
    if (kind === 'instance' && connectsTo.length > 0) {
      return [`${at}: is set on host '${name}'; allowed: only for kind 'function', as an instance is not allocated`];
    }
    return connectsTo
      .map((to, j) => [to, j] as const)
      .filter(([to]) => to === name || !names.has(to))
      .map(
        ([to, j]) =>
          `${at}.${j}: is "${to}" on host '${name}'${orService(to, services)}; allowed: the name of another host`,
      );
  });
}
