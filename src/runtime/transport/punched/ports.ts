/**
 * Ports in sequence, from a range that is a member's own. In sequence and not at random: a pair of ports that was used
 * a moment ago may still be remembered by a NAT (design section 8), and by the kernel of the side that closed first.
 */
export function portSequence([first, count]: readonly [number, number]): () => number {
  // Not always from the start: an earlier epoch may have had this range.
  let next = Math.floor(Math.random() * count);
  return () => {
    next = (next + 1) % count;
    return first + next;
  };
}

/**
 * For the other side of a pair of which one side is in `portSequence`: skips one in every round, so that a pair comes
 * again after `count` rounds only.
 */
export function pairedSequence([first, count]: readonly [number, number]): () => number {
  const next = portSequence([first, count]);
  let left = count;
  return () => {
    if (left === 0) next();
    left = (left || count) - 1;
    return next();
  };
}

type Range = readonly [number, number];

/** A connection is agreed on by supervisors (`punch`), or by connectors, which call each other (`signalling`). */
type By = 'punch' | 'signalling';

/** Ports at the end of a member's range that nothing is sent from. */
const QUIET = 4;

/** What comes to them comes unasked. */
export const quietPorts = ([first, count]: Range): number[] =>
  Array.from({ length: QUIET }, (_, i) => first + count - QUIET + i);

/**
 * Half of a member's ports are for connections that signalling channels agree on. Half of each are for the calling
 * side, half for the called side: two members that call each other at the same moment never name the same pair, on
 * which their waiting guests would meet.
 */
export function portsFor([first, count]: Range, by: By, side: 'calls' | 'called'): Range {
  const quarter = Math.floor((count - QUIET) / 4);
  return [first + quarter * ((by === 'signalling' ? 2 : 0) + (side === 'called' ? 1 : 0)), quarter];
}
