/** What must hold: in every state, and after the last fault. */
import { step } from '../machine/step';
import { waitTimer } from '../machine/waiters';
import { movesOf } from './moves';
import { answers, linkOf, stateOf } from './seed';
import type { Client, Host, Size, World } from './world';

/** @returns what is wrong, or undefined */
type Property = (world: World, size: Size) => string | undefined;

/** In every state. */
export const ALWAYS: Readonly<Record<string, Property>> = {
  'at most one sandbox is a host, and one an epoch': (world) => {
    const joined = (host: Host) =>
      [...host.sandboxes.map(({ run }) => run?.link), ...host.places.map(({ link }) => link)].filter(
        (link) => link && !link.closed && answers(world, link.seed),
      );
    return world.hosts.some((host) => host.twice || joined(host).length > 1) ? 'two sandboxes are one host' : undefined;
  },

  'an instance that is connected is not taken over': ({ hosts }) => {
    const h = hosts.findIndex(({ takenOver }) => takenOver);
    return h < 0 ? undefined : `a second machine is host ${h}`;
  },

  'the epochs that a client sees grow': ({ clients }) => {
    const c = clients.findIndex(({ older }) => older);
    return c < 0 ? undefined : `client ${c} was answered with an older epoch than before`;
  },

  'no connect that waits is forgotten': (world) => {
    const c = world.clients.findIndex((client) => isForgotten(world, client));
    return c < 0 ? undefined : `client ${c} waits, and nothing knows of it`;
  },

  'every connect that waits ends by its deadline': (world) => {
    for (const h of world.hosts.keys()) {
      const state = stateOf(world, h);
      for (const waiter of state.waiters) {
        const name = waitTimer(waiter);
        const moment = { at: 0, wall: world.seed.clock, random: 0, mayAllocate: world.seed.mayAllocate };
        const { effects } = step(state, { type: 'timer', name }, moment);
        if (!effects.some(({ type }) => type === 'answer')) return `the deadline of ${name} answers nothing`;
        if (!linkOf(world, waiter.member)) return `${name} is of a member that is gone`;
      }
    }
    return undefined;
  },
};

function isForgotten(world: World, { link, open }: Client): boolean {
  // Sent to a seed that stands still, it is sent again to the other one.
  if (!open || !link || link.closed || link.seed !== world.seed.id) return false;
  const sent = link.up.some((report) => report.type === 'locate' && report.id === open.id);
  const answered = link.down.some((word) => word.type === 'answer' && word.id === open.id);
  const waits = world.hosts[open.host].machine.waiters.some(
    ({ member, id }) => member === link.member && id === open.id,
  );
  return [sent, answered, waits].filter(Boolean).length !== 1;
}

/** Once nothing fails any more, and nobody connects. */
export const AT_LAST: Readonly<Record<string, Property>> = {
  'every host is released': ({ hosts }) => {
    const h = hosts.findIndex(
      ({ machine, sandboxes, places }) =>
        machine.phase.state !== 'imagined' || sandboxes.some(({ run }) => run) || places.some(({ runs }) => runs),
    );
    return h < 0 ? undefined : `host ${h} is ${hosts[h].machine.phase.state}, or runs`;
  },

  'no client has a connection to an epoch that has ended': ({ clients }) => {
    const c = clients.findIndex(({ connected }) => connected.some((epoch) => epoch > 0));
    return c < 0 ? undefined : `client ${c} is connected to epoch ${clients[c].connected.join(' or ')}`;
  },

  'the state converges': ({ hosts, clients }) => {
    if (hosts.some(({ machine, requests }) => machine.invocation || requests.length > 0))
      return 'an invocation is open';
    if (hosts.some(({ machine }) => machine.orders.length > 0)) return 'an operator waits';
    if (clients.some(({ open }) => open)) return 'a client waits';
    return undefined;
  },
};

/** A property, too: hosts that renew, are released and resumed do not do so for ever by themselves. */
export const RESTLESS = 'the cluster never comes to rest';

/** More moves than any world of these sizes needs to come to rest. */
const MOST_MOVES = 2_000;

/**
 * From here on nothing fails and nobody connects; hosts renew and are idle at random.
 *
 * @returns what is wrong with where this ends, or with its not ending
 */
export function comeToRest(
  world: World,
  size: Size,
  random: () => number,
): { problem: string; trace: string[] } | undefined {
  const trace: string[] = [];
  world.faults = 0;
  world.orders = 0;
  world.joins = 0;
  for (const client of world.clients) client.left = 0;
  for (let i = 0; i < MOST_MOVES; i++) {
    world.cycles = 1;
    const moves = movesOf(world, size);
    const move = moves.at(Math.floor(random() * moves.length));
    if (!move) return check(world, size, trace);
    trace.push(move[0]);
    move[1](world);
  }
  return { problem: RESTLESS, trace: trace.slice(-30) };
}

function check(world: World, size: Size, trace: string[]) {
  for (const [name, property] of Object.entries({ ...ALWAYS, ...AT_LAST })) {
    const problem = property(world, size);
    if (problem) return { problem: `${name}: ${problem}`, trace };
  }
  return undefined;
}
