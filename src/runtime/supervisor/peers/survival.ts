/**
 * After a freeze: which connections have survived it? A NAT may have forgotten them, and may drop or take up again what
 * comes from inside. Each is probed, and one that is not answered although its other side is up is reset. The other side
 * does the same where data of its own is not acknowledged (waiting-data.ts).
 */
import type { PeerConnections } from './peer-connections';

export interface SurvivalOptions {
  readonly peers: Pick<PeerConnections, 'probe' | 'alive' | 'lost'>;
  /** Whether a member is up and would answer, by its virtual address. */
  readonly isUp: (address: number) => boolean;
}

/** Milliseconds after the thaw: the looks, of which the last one judges. */
const LOOKS = [500, 1_500, 3_000] as const;

export class Survival {
  readonly #options: SurvivalOptions;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: SurvivalOptions) {
    this.#options = options;
  }

  /** This host was frozen until now. */
  thawed(): void {
    const { peers } = this.#options;
    const since = performance.now();
    this.close();
    peers.probe();
    this.#timers = LOOKS.map((delay) => setTimeout(() => this.#look(since, delay === LOOKS.at(-1)), delay));
  }

  close(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }

  #look(since: number, judges: boolean): void {
    const { peers, isUp } = this.#options;
    const elapsed = performance.now() - since;
    const silent = peers.alive().filter(({ lastAck }) => lastAck !== undefined && lastAck > elapsed);
    if (silent.length === 0) this.close();
    else if (judges) peers.lost(silent.flatMap(({ peer, epoch, cookie }) => (epoch === 0 || isUp(peer) ? cookie : [])));
    else peers.probe();
  }
}
