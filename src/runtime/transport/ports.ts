/**
 * Ports in sequence, from a range that is a member's own. In sequence and not at random: a pair of ports that was used a
 * moment ago may still be remembered by a NAT (design section 8), and by the kernel of the side that closed first.
 */
export function portSequence([first, count]: readonly [number, number]): () => number {
  // Not always from the start: an earlier incarnation may have had this range.
  let next = Math.floor(Math.random() * count);
  return () => {
    next = (next + 1) % count;
    return first + next;
  };
}

/**
 * For the other side of a pair of which one side is in `portSequence`: skips one in every round, so that a pair comes again
 * after `count` rounds only.
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

/** The last eighth of a member's ports: its carrier and others' call each other from and to these. */
export function wirePorts([first, count]: Range): Range {
  const own = Math.floor(count / 8);
  return [first + count - own, own];
}

/** The others: those that supervisors agree on. */
export function punchPorts([first, count]: Range): Range {
  return [first, count - Math.floor(count / 8)];
}
