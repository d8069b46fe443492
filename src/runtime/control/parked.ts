import type { NatReport } from '../../contract/peer/peer-messages';
import { type Control, handOver, type SeedEndpoint } from './connection';
import type { Welcome } from './session-options';

/** What a session has learnt, that the next one need not ask for again if it goes on with the same connection. */
export interface ParkedOptions {
  readonly control: Control;
  readonly endpoint: SeedEndpoint;
  readonly identity: string;
  readonly welcome: Welcome;
  /** What the member has reported of its NAT: the connection lives for as long as the NAT keeps its mapping. */
  readonly nat: NatReport | undefined;
}

/**
 * A connection to the seed that outlasts its session while the host stands still. Both sides say nothing on it: what a
 * frozen machine is sent waits in vain to be acknowledged, until the kernel gives the connection up. Whether it is there
 * still is found out by joining over it.
 */
export class Parked {
  #options: ParkedOptions | undefined;

  constructor(options: ParkedOptions) {
    const { control } = options;
    this.#options = options;
    control.rest();
    const forget = () => {
      this.#options = undefined;
    };
    // What the seed says now is for nobody: its own end, or that of the epoch.
    handOver(control, { onFrame: this.close, onClose: forget });
  }

  /** The number of its socket. */
  get descriptor(): number | undefined {
    return this.#options?.control.descriptor;
  }

  /** For a session of that member with that seed. Undefined: it is no use for it, and closed. Once. */
  take(identity: string, seed: string): ParkedOptions | undefined {
    const options = this.#options;
    if (options && options.identity === identity && options.endpoint.seed === seed && options.control.open) {
      this.#options = undefined;
      return options;
    }
    this.close();
    return undefined;
  }

  readonly close = (): void => {
    this.#options?.control.destroy();
    this.#options = undefined;
  };
}
