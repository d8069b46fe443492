/**
 * The numbers of members. Nothing depends on more than which of them are the same, but each connection has one that was
 * never used before: worlds would differ by how many connections there have been.
 */
import type { Known, Link, World } from './world';

/** The members get the numbers from 1 on, in the order in which the world has them. */
export function renumber(world: World): void {
  const numbers = new Map<number, number>();
  const numberOf = (member: number): number => {
    const known = numbers.get(member) ?? numbers.size + 1;
    numbers.set(member, known);
    return known;
  };
  for (const { sandboxes, places, dead } of world.hosts) {
    for (const place of places) if (place.link) place.link = renumbered(place.link, numberOf);
    for (const { run } of sandboxes) if (run?.link) run.link = renumbered(run.link, numberOf);
    for (const [i, link] of dead.entries()) dead[i] = renumbered(link, numberOf);
  }
  for (const client of world.clients) if (client.link) client.link = renumbered(client.link, numberOf);
  for (const known of [...world.hosts, ...(world.former?.known ?? [])]) renumberKnown(known, numberOf);
  world.members = numbers.size;
}

type NumberOf = (member: number) => number;

function renumbered(link: Link, numberOf: NumberOf): Link {
  return { ...link, member: numberOf(link.member) };
}

function renumberKnown(known: Known, numberOf: NumberOf): void {
  const { machine } = known;
  const { phase } = machine;
  known.subscribers = known.subscribers.map(numberOf);
  const waiters = machine.waiters.map((waiter) => ({ ...waiter, member: numberOf(waiter.member) }));
  known.machine = { ...machine, waiters };
  if ((phase.state !== 'allocating' && phase.state !== 'running') || phase.session?.peer === undefined) return;
  known.machine = {
    ...known.machine,
    phase: { ...phase, session: { ...phase.session, peer: numberOf(phase.session.peer) } },
  };
}
