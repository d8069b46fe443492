import { CLUSTER_LIMITS, HOST_DEFAULTS, HOST_LIMITS, type Limit } from '../../src/contract/manifest';

const defaultsOf = <K extends string>(limits: Readonly<Record<K, Limit>>) =>
  Object.fromEntries(Object.entries<Limit>(limits).map(([name, limit]) => [name, limit.default])) as Record<K, number>;

/** What a manifest has where it names nothing. */
export const LIMIT_DEFAULTS = defaultsOf(CLUSTER_LIMITS);
export const ENTRY_DEFAULTS = {
  ...{
    kind: 'function' as const,
    pooled: false,
    aliases: [],
    environment: {},
    remappedFiles: {},
    startWith: [],
    connectsTo: [],
    prefetch: true,
    readyWhen: { kind: 'listening' as const },
  },
  ...{ ...HOST_DEFAULTS, ...defaultsOf(HOST_LIMITS) },
};
