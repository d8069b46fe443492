/** This member's ports that connections are punched from, and how others see them. */
import { inCidr, parseAddress, parseCidr } from '../../../contract/manifest/address';
import type { Endpoint, NatReport } from '../../../contract/peer/peer-messages';
import { isPredictable, probe } from '../nat/nat';
import { pairedSequence, portSequence, portsFor } from './ports';

export interface PunchPort {
  readonly port: number;
  /** As others see it. */
  readonly seen: number;
  /** The other side knows the port: what kept the NAT's mapping is not needed any more. */
  close(): void;
}

/** Pairs of members whose last ports are remembered. */
const MOST_PAIRS = 1_000;

/** A port could not be probed as another socket here has it; another port may work. */
export const isTaken = ({ code }: NodeJS.ErrnoException): boolean => code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL';

export class PunchPorts {
  readonly #sequences = new Map<string, () => number>();

  constructor(private readonly dataPort: () => Endpoint) {}

  /** The next one of this member's ports, for a punch that this member asks for. */
  ownPort(mine: NatReport): number {
    return this.#next(portSequence, mine, 'calls', 'own');
  }

  /**
   * The next one of the other side's ports (`report`), for a punch that the other side is asked for. `pair` names both
   * members.
   */
  pairedPort(report: NatReport, pair: string): number {
    return this.#next(pairedSequence, report, 'called', pair);
  }

  /** Opens all of these ports or none. Their mapping is probed unless it is predictable. */
  async open(mine: NatReport, near: boolean, ports: readonly number[], signal: AbortSignal): Promise<PunchPort[]> {
    const opening = ports.map(async (port): Promise<PunchPort> => {
      if (near || isPredictable(mine)) return { port, seen: port, close: () => undefined };
      const { observed, close } = await probe(this.dataPort(), { address: mine.localAddress, port }, signal);
      return { port, seen: observed.port, close };
    });
    try {
      return await Promise.all(opening);
    } catch (error) {
      // Those that are open, or will be, have no owner.
      for (const port of opening) {
        port.then(
          ({ close }) => close(),
          () => undefined,
        );
      }
      throw error;
    }
  }

  #next(sequence: typeof portSequence, { ports }: NatReport, side: 'calls' | 'called', owner: string): number {
    const sequences = this.#sequences;
    const key = `${owner}:${ports.join()}`;
    const next = sequences.get(key) ?? sequence(portsFor(ports, 'punch', side));
    // Those that were used last are kept longest.
    sequences.delete(key);
    sequences.set(key, next);
    if (sequences.size > MOST_PAIRS) sequences.delete(sequences.keys().next().value!);
    return next();
  }
}

/** Where two members meet: each one's address, as the other one connects to it. */
interface MeetingPoint {
  readonly near?: true;
  readonly mine: string;
  readonly theirs: string;
  /** Why they cannot be connected there. */
  readonly problem?: string;
}

/**
 * Two members meet on the internet, or near: at their own addresses, when they are behind the same one. Nothing in
 * between changes ports then, and nothing keeps a SYN that comes too early: one of them waits, the other one tries
 * again.
 */
export function meetingPoint(mine: NatReport, theirs: NatReport): MeetingPoint {
  if (mine.reflexiveAddress !== theirs.reflexiveAddress)
    return { mine: mine.reflexiveAddress, theirs: theirs.reflexiveAddress };
  const own = unmeetable(mine);
  const problem = own === undefined ? (unmeetable(theirs) ?? withheld(theirs)) : `on this side: ${own}`;
  return {
    near: true,
    mine: mine.localAddress,
    theirs: theirs.localAddress,
    ...(problem !== undefined && { problem }),
  };
}

const LINK_LOCAL = parseCidr('169.254.0.0/16')!;

/**
 * Why a member cannot be met at its own address from behind the same public one; undefined: as far as we know it can be
 * met. A link-local address leads to another machine on each link, and on Lambda back to the sandbox itself.
 */
export function unmeetable({ localAddress: local }: NatReport): string | undefined {
  if (!inCidr(LINK_LOCAL, parseAddress(local)!)) return undefined;
  return `behind the same NAT, it cannot be met at ${local}, which is link-local`;
}

/**
 * In the place of an address at which nobody meets a member, the seed sends others the public one
 * (src/runtime/seed/members/whereabouts.ts). Few NATs lead there from inside. Of a member that has reported nothing
 * yet, the seed knows no other address.
 */
function withheld({ kind: nat, reflexiveAddress: address, localAddress: local }: NatReport): string | undefined {
  if (local !== address || nat === 'none' || nat === 'unknown') return undefined;
  return 'behind the same NAT, it has no address to be met at';
}
