/** Connections of hosts that stand still until their next invocation: its supervisor joins over its own again. */
import type { FromSeed } from '../../../contract/control/from-seed';
import type { Channel } from '../../control/channel';

/** In all: a connection is a descriptor of the seed's. Of the others, hosts make new ones. */
const MOST = 4_096;

type ParkedChannel = Pick<Channel<FromSeed>, 'destroy'>;

export class Parked {
  /** By host, the oldest first. */
  readonly #channels = new Map<string, ParkedChannel>();

  constructor(private readonly most = MOST) {}

  get size(): number {
    return this.#channels.size;
  }

  add(host: string, channel: ParkedChannel): void {
    this.close(host);
    for (const oldest of this.#channels.keys()) if (this.#channels.size >= this.most) this.close(oldest);
    this.#channels.set(host, channel);
  }

  /** It is parked no longer, by itself. */
  remove(host: string, channel: ParkedChannel): void {
    if (this.#channels.get(host) === channel) this.#channels.delete(host);
  }

  /** What is parked for that host is of no use any more. */
  close(host: string): void {
    const channel = this.#channels.get(host);
    this.#channels.delete(host);
    channel?.destroy();
  }
}
