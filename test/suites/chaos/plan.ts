/** Which faults a run has, and when: all of it follows from the seed of the run. */
import { randomNumbers } from '../../support/random';

/** What a fault does, by its name. `on`: the networks that can have it. */
export const KINDS = {
  'kill-guest': { about: "SIGKILL to a host's guest", on: ['flat', 'nat'] },
  'stop-guest': { about: "SIGTERM to a host's guest", on: ['flat', 'nat'] },
  'order-stop': { about: 'an operator stops a host: `imaginary stop`', on: ['flat', 'nat'] },
  'kill-supervisor': { about: 'SIGKILL to a supervisor', on: ['flat', 'nat'] },
  'pause-supervisor': { about: 'SIGSTOP to a supervisor, and SIGCONT 1 to 6 s later', on: ['flat', 'nat'] },
  'kill-sandbox': { about: 'SIGKILL to all processes of a sandbox, frozen or not', on: ['flat', 'nat'] },
  'pause-sandbox': { about: 'SIGSTOP to all processes of a sandbox, and SIGCONT 1 to 6 s later', on: ['flat', 'nat'] },
  'kill-launcher': { about: 'SIGKILL to the launcher of a sandbox, frozen or not', on: ['flat', 'nat'] },
  'kill-seed': { about: 'SIGKILL to the seed', on: ['flat', 'nat'] },
  'kill-client': { about: 'SIGKILL to an `imaginary exec`', on: ['flat', 'nat'] },
  'cut-host': { about: "a host's part of the internet is cut for 1 to 6 s", on: ['nat'] },
  'cut-all': { about: 'the internet is cut for 1 to 4 s', on: ['nat'] },
  vanish: { about: "a host's part of the internet is cut, and its sandbox is killed: no packet tells", on: ['nat'] },
  forget: { about: "a host's NAT forgets its mappings", on: ['nat'] },
  move: { about: "a host's NAT gets another public address", on: ['nat'] },
  refuse: { about: "a host's NAT answers what nobody asked for with resets, for 1 to 6 s", on: ['nat'] },
} as const satisfies Record<string, { readonly about: string; readonly on: readonly Network[] }>;

export type Kind = keyof typeof KINDS;
export type Network = 'flat' | 'nat';

export interface PlannedFault {
  /** Milliseconds after the begin of the run. */
  readonly at: number;
  readonly kind: Kind;
  /** From 0 to below 1: which one of those that can have it by then. */
  readonly pick: number;
  /** Milliseconds, where it lasts. */
  readonly lasts: number;
}

export const kindsOn = (network: Network): Kind[] =>
  (Object.keys(KINDS) as Kind[]).filter((kind) => (KINDS[kind].on as readonly Network[]).includes(network));

/** Between two faults, milliseconds. */
const EVERY = { least: 400, most: 2_000 };
/**
 * What hits everything comes after a time, in milliseconds: the platform gives up a seed that ends 8 times in a row before
 * it has run for 10 s.
 */
const APART: Partial<Record<Kind, number>> = { 'kill-seed': 11_000, 'cut-all': 11_000 };
/** Nothing happens at the begin: callers are to be on their way. */
const CALM = 2_000;

/** @param milliseconds in which faults begin */
export function planOf(seed: number, milliseconds: number, kinds: readonly Kind[]): PlannedFault[] {
  const random = randomNumbers(seed);
  const plan: PlannedFault[] = [];
  // In an order of its own, so that the plan does not depend on that of the command line.
  const sorted = [...kinds].sort();
  const last = new Map<Kind, number>();
  const next = () => EVERY.least + random(EVERY.most - EVERY.least);
  for (let at = CALM; at < milliseconds; at += next()) {
    const possible = sorted.filter((kind) => at - (last.get(kind) ?? Number.NEGATIVE_INFINITY) >= (APART[kind] ?? 0));
    if (possible.length === 0) continue;
    const kind = possible[random(possible.length)];
    last.set(kind, at);
    const longest = kind === 'cut-all' ? 4_000 : 6_000;
    plan.push({ at, kind, pick: random(1_000) / 1_000, lasts: 1_000 + random(longest - 1_000) });
  }
  return plan;
}
