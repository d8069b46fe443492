/** What the end of a host may take. */
import type { ManifestHost } from './manifest';

type Ending = Pick<ManifestHost, 'onDrain' | 'onRelease' | 'drainTimeout' | 'stopTimeout' | 'timeout'>;

/** Milliseconds besides a host's own times: for the way to its sandbox and back, and for what SIGKILL ends. */
const AROUND = 4_000;

/** A host is released within this time, in milliseconds, or never will be. */
export function endLimit({ onRelease, drainTimeout, stopTimeout }: Omit<Ending, 'timeout'>): number {
  return (onRelease ? drainTimeout : 0) + stopTimeout + AROUND;
}

/** The same of all hosts of a cluster, which end at the same time. */
export function longestEnd(hosts: readonly Omit<Ending, 'timeout'>[]): number {
  return Math.max(AROUND, ...hosts.map(endLimit));
}

/**
 * A command and the guests' end have to fit into one invocation, together with something that the host was needed for.
 * @returns what is wrong, for people
 */
export function endProblem({ onDrain, onRelease, drainTimeout, stopTimeout, timeout }: Ending): string | undefined {
  const command = onDrain ? 'onDrain' : onRelease && 'onRelease';
  if (!command || drainTimeout + stopTimeout <= timeout / 2) return undefined;
  const s = (ms: number) => `${ms / 1_000} s`;
  const sum = `drainTimeout and stopTimeout are ${s(drainTimeout)} and ${s(stopTimeout)}, which is ${s(drainTimeout + stopTimeout)}`;
  return `${sum}; allowed with ${command}: half of timeout at most, which is ${s(timeout / 2)}`;
}
