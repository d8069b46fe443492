/** Which host of a service a connect goes to: a pure function of what is known of them. */
import type { HostState } from '../../contract/control/location';

export interface Candidate {
  readonly name: string;
  /** A host instance: nothing allocates it. */
  readonly instance: boolean;
  readonly state: HostState;
  /** Connections that it has, and those that were chosen to go there since that was reported. */
  readonly connections: number;
  /** Percent of one CPU. */
  readonly cpu: number;
  readonly draining: boolean;
  /** A connect to it has failed of late. */
  readonly avoided: boolean;
}

export interface ChoiceTerms {
  readonly maxConnections: number;
  readonly maxCpu?: number;
}

/** Why a host was chosen, for operators. In order of preference. */
export const WHY = {
  sticky: 'this member is connected to it already',
  instance: 'the instance with the fewest connections',
  least: 'the function with the fewest connections',
  undrained: 'all others are full, and it was draining',
  allocating: 'all that run are full, and it is being allocated',
  resumed: 'all that run are full, and it is suspended',
  imagined: 'all that run are full, and it is imagined',
  full: 'all are full: the fewest connections',
  avoided: 'connects to all others have failed',
  last: 'no other host is left',
} as const;
export type Why = keyof typeof WHY;

export interface Choice {
  readonly name: string;
  readonly why: Why;
}

/** A host of a service that a connect has failed to is avoided for so long, in milliseconds. */
export const AVOIDED = 2_000;
/** The same choice of a service is reported once in so many milliseconds. */
const SAID = 10_000;

/**
 * Connections of a host: those that it has reported, and those that came and went here since.
 * @param count of here: under way, open, and open when the host's report came
 */
export function connectionsOf(
  { state, connections }: Pick<Candidate, 'state' | 'connections'>,
  { pending, open, reported }: { readonly pending: number; readonly open: number; readonly reported: number },
): number {
  // Those that are open to a host that is imagined go to an epoch that has ended.
  const own = state === 'imagined' ? pending : open + pending;
  return Math.max(own, connections + own - reported);
}

/**
 * Whether a choice is to be reported. It is taken down.
 * @param said when each was reported, of one service
 */
export function isToBeSaid(said: Map<string, number>, { name, why }: Choice, now: number): boolean {
  const key = `${name} ${why}`;
  if (now - (said.get(key) ?? Number.NEGATIVE_INFINITY) < SAID) return false;
  said.set(key, now);
  return true;
}

/**
 * @param candidates in the order in which functions are imagined; without those that this connect has tried
 * @param turn from which of them on equal ones are preferred: callers with different turns do not all choose the same
 * @param last where this member was connected to before, of a sticky service
 * @returns undefined: there is no candidate
 */
export function chooseHost(
  candidates: readonly Candidate[],
  terms: ChoiceTerms,
  turn: number,
  last?: string,
): Choice | undefined {
  const least = (which: (host: Candidate) => boolean) => fewest(candidates, which, turn);
  const hasRoom = ({ connections, cpu }: Candidate) =>
    connections < terms.maxConnections && (terms.maxCpu === undefined || cpu <= terms.maxCpu);
  const serves = ({ state, avoided }: Candidate) => state === 'running' && !avoided;
  /** Host functions that are not up: nothing else is to be imagined while there is one with room that comes up. */
  const inState = (state: HostState) =>
    candidates.find((host) => host.state === state && !host.instance && !host.avoided && hasRoom(host));
  const rules: ReadonlyArray<readonly [Why, () => Candidate | undefined]> = [
    // Also one that sleeps or is about to come up: what it knows of this member is there.
    ['sticky', () => candidates.find(({ name, state, avoided }) => name === last && state !== 'failed' && !avoided)],
    ['instance', () => least((host) => serves(host) && host.instance && hasRoom(host))],
    ['least', () => least((host) => serves(host) && !host.instance && !host.draining && hasRoom(host))],
    ['undrained', () => least((host) => serves(host) && !host.instance && hasRoom(host))],
    ['allocating', () => inState('allocating')],
    ['resumed', () => inState('suspended')],
    ['imagined', () => inState('imagined')],
    // Where none is up yet, all that come up take their share.
    ['full', () => least(serves) ?? least((host) => host.state === 'allocating' && !host.instance && !host.avoided)],
    ['avoided', () => least(({ state }) => state === 'running')],
    ['last', () => candidates.find(({ instance }) => !instance) ?? candidates[0]],
  ];
  for (const [why, rule] of rules) {
    const found = rule();
    if (found) return { name: found.name, why };
  }
  return undefined;
}

/**
 * The hosts among which the next connects choose by their connections alone: what the first rules above would choose from.
 * Empty: every connect needs all rules.
 */
export function hostsWithRoom(
  candidates: readonly Candidate[],
  terms: ChoiceTerms,
  last?: string,
): readonly Candidate[] {
  const serving = candidates.filter(({ state, avoided }) => state === 'running' && !avoided);
  if (last !== undefined) return serving.filter(({ name }) => name === last);
  const roomy = serving.filter(
    ({ connections, cpu }) => connections < terms.maxConnections && (terms.maxCpu === undefined || cpu <= terms.maxCpu),
  );
  const instances = roomy.filter(({ instance }) => instance);
  return instances.length > 0 ? instances : roomy.filter(({ draining }) => !draining);
}

function fewest(
  candidates: readonly Candidate[],
  which: (host: Candidate) => boolean,
  turn: number,
): Candidate | undefined {
  const count = candidates.length;
  let best: Candidate | undefined;
  for (let i = 0; i < count; i++) {
    const host = candidates[(i + turn) % count];
    if (which(host) && (!best || host.connections < best.connections)) best = host;
  }
  return best;
}
