/**
 * Hosts that have connections with a client hear of its end. A client has no epoch, and it joins again under the same
 * name when it has lost its connection: it is gone when it has not done so for a while.
 */
import type { FromSeed } from '../../../contract/control/from-seed';
import type { MemberId } from '../machine/state';

export interface ClientWatchesOptions {
  /** Milliseconds in which a client whose connection has ended may join again. */
  readonly grace: number;
  readonly send: (member: MemberId, frame: FromSeed) => void;
  /** No client of that name is there any more. */
  readonly onGone: (name: string) => void;
}

interface Named {
  /** How many are connected: under the name of a host there may be several. */
  connected: number;
  readonly watchers: Set<MemberId>;
  /** While none is: until it is gone. */
  timer?: NodeJS.Timeout;
}

export class ClientWatches {
  readonly #options: ClientWatchesOptions;
  readonly #clients = new Map<string, Named>();

  constructor(options: ClientWatchesOptions) {
    this.#options = options;
  }

  /** @param again it says that it has been there before */
  joined(name: string, again: boolean): void {
    // An earlier one had the name.
    if (!again && this.#clients.get(name)?.connected === 0) this.#gone(name);
    const client = this.#named(name);
    client.connected += 1;
    clearTimeout(client.timer);
    client.timer = undefined;
  }

  left(name: string): void {
    const client = this.#clients.get(name);
    if (!client) return;
    client.connected -= 1;
    if (client.connected === 0) this.#expect(name, client);
  }

  /** The member has connections with the client. One that an earlier seed knew may be about to join again. */
  watch(name: string, member: MemberId): void {
    const client = this.#named(name);
    client.watchers.add(member);
    if (client.connected === 0 && client.timer === undefined) this.#expect(name, client);
  }

  /** The member is gone itself. */
  forget(member: MemberId, name: string): void {
    this.#clients.get(name)?.watchers.delete(member);
  }

  close(): void {
    for (const { timer } of this.#clients.values()) clearTimeout(timer);
    this.#clients.clear();
  }

  #named(name: string): Named {
    const client = this.#clients.get(name) ?? { connected: 0, watchers: new Set() };
    this.#clients.set(name, client);
    return client;
  }

  #expect(name: string, client: Named): void {
    client.timer = setTimeout(() => this.#gone(name), this.#options.grace);
  }

  #gone(name: string): void {
    const { send, onGone } = this.#options;
    const client = this.#clients.get(name);
    clearTimeout(client?.timer);
    this.#clients.delete(name);
    for (const member of client?.watchers ?? []) send(member, { type: 'clientGone', client: name });
    onGone(name);
  }
}
