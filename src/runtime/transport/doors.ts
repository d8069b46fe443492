/** Ports of ours that connections are punched from, and what others see them as. */
import type { Endpoint, Reach } from '../protocol/rendezvous';
import { pairedSequence, portSequence, portsFor } from './ports';
import { isPredictable, probe } from './reach';

export interface Door {
  readonly port: number;
  /** As others see it. */
  readonly seen: number;
  /** The other side has been told: what kept the NAT's mapping is not needed any more. */
  close(): void;
}

export interface Doors {
  /** The next one of this member's ports, for a punch that it asks for. */
  ownPort(mine: Reach): number;
  /** The next one of that member's ports (`reach`) for the side that is asked. `pair`: names the two of them. */
  pairedPort(reach: Reach, pair: string): number;
  /** What the NAT makes of ports of ours is discovered, not guessed. */
  open(mine: Reach, near: boolean, ports: readonly number[], signal: AbortSignal): Promise<Door[]>;
}

/** Pairs of members whose last ports are remembered. */
const MOST_PAIRS = 1_000;

/** A port could not be probed as something here has it; with another one it may work. */
export const isTaken = ({ code }: NodeJS.ErrnoException): boolean => code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL';

export function createDoors(dataPort: () => Endpoint): Doors {
  const sequences = new Map<string, () => number>();
  const nextOf = (sequence: typeof portSequence, { ports }: Reach, side: 'asks' | 'asked', whose: string) => {
    const key = `${whose}:${ports.join()}`;
    const next = sequences.get(key) ?? sequence(portsFor(ports, 'punch', side));
    // Those that were used last are kept longest.
    sequences.delete(key);
    sequences.set(key, next);
    if (sequences.size > MOST_PAIRS) sequences.delete(sequences.keys().next().value!);
    return next();
  };
  return {
    ownPort: (mine) => nextOf(portSequence, mine, 'asks', 'own'),
    pairedPort: (reach, pair) => nextOf(pairedSequence, reach, 'asked', pair),
    open: async (mine, near, ports, signal) => {
      const opening = ports.map(async (port): Promise<Door> => {
        if (near || isPredictable(mine)) return { port, seen: port, close: () => undefined };
        const { observed, close } = await probe(dataPort(), { address: mine.local, port }, signal);
        return { port, seen: observed.port, close };
      });
      try {
        return await Promise.all(opening);
      } catch (error) {
        // All or none: those that are open, or will be, are nobody's.
        for (const door of opening) {
          door.then(
            ({ close }) => close(),
            () => undefined,
          );
        }
        throw error;
      }
    },
  };
}

/**
 * Where two members meet: on the internet, or near: at their own addresses, when they are behind the same one. Nothing in between
 * changes ports then, and nothing keeps a SYN that comes too early: one of them waits, the other one tries again.
 */
export function meetingPoint(mine: Reach, theirs: Reach) {
  if (mine.address === theirs.address) return { near: true, mine: mine.local, theirs: theirs.local } as const;
  return { mine: mine.address, theirs: theirs.address } as const;
}
