/** What one exposed port allows each client, by its address: checked before anything is allocated. */
import { inCidr, type ManifestExpose, parseAddress, parseCidr } from '../../../contract/manifest';

type Rules = Pick<
  ManifestExpose,
  'allowFrom' | 'maxConnectionsPerClient' | 'maxNewConnectionsPerMinutePerClient' | 'maxAllocationsPerMinutePerClient'
>;

/** Why a client is refused. */
export type Refusal =
  | 'allowFrom'
  | 'maxConnectionsPerClient'
  | 'maxNewConnectionsPerMinutePerClient'
  | 'maxAllocationsPerMinutePerClient'
  | 'too many clients';

interface Client {
  open: number;
  /** When its budgets are whole again: at most a minute from now, of which each one takes its share. */
  connections: number;
  allocations: number;
}

const MINUTE = 60_000;
/** Of sums of shares of a minute, in milliseconds. */
const ROUNDING = 0.001;
/** Clients of which something is kept; those of which nothing need be kept are forgotten from here on. */
const FEW = 1_024;
const MOST_CLIENTS = 65_536;

export class ExposedClients {
  readonly #rules: Rules;
  readonly #blocks;
  readonly #clock: () => number;
  readonly #clients = new Map<string, Client>();
  #forgetAt = FEW;

  /** @param clock milliseconds, from any start */
  constructor(rules: Rules, clock: () => number = () => performance.now()) {
    this.#rules = rules;
    this.#clock = clock;
    this.#blocks = rules.allowFrom.map((text) => parseCidr(text)!);
  }

  /** Clients of which something is kept. */
  get size(): number {
    return this.#clients.size;
  }

  allows(address: string): boolean {
    const number = parseAddress(address);
    return number !== undefined && this.#blocks.some((block) => inCidr(block, number));
  }

  /** A client connects. If it may, that is counted until `leaves`; if not, nothing is. @returns why not */
  connects(address: string): Refusal | undefined {
    const { maxConnectionsPerClient, maxNewConnectionsPerMinutePerClient } = this.#rules;
    if (!this.allows(address)) return 'allowFrom';
    const now = this.#clock();
    const client = this.#clients.get(address) ?? this.#add(address, now);
    if (!client) return 'too many clients';
    if (client.open >= maxConnectionsPerClient) return 'maxConnectionsPerClient';
    const whole = taken(client.connections, now, maxNewConnectionsPerMinutePerClient);
    if (whole === undefined) return 'maxNewConnectionsPerMinutePerClient';
    client.connections = whole;
    client.open += 1;
    return undefined;
  }

  leaves(address: string): void {
    const client = this.#clients.get(address);
    if (client) client.open -= 1;
  }

  /** A connection of the client is about to cause an allocation. @returns why it may not */
  allocates(address: string): Refusal | undefined {
    const now = this.#clock();
    const client = this.#clients.get(address);
    const whole = client && taken(client.allocations, now, this.#rules.maxAllocationsPerMinutePerClient);
    if (!client || whole === undefined) return 'maxAllocationsPerMinutePerClient';
    client.allocations = whole;
    return undefined;
  }

  #add(address: string, now: number): Client | undefined {
    if (this.#clients.size >= this.#forgetAt) {
      for (const [one, { open, connections, allocations }] of this.#clients) {
        if (open === 0 && connections <= now && allocations <= now) this.#clients.delete(one);
      }
      this.#forgetAt = Math.max(FEW, 2 * this.#clients.size);
    }
    if (this.#clients.size >= MOST_CLIENTS) return undefined;
    const client = { open: 0, connections: 0, allocations: 0 };
    this.#clients.set(address, client);
    return client;
  }
}

/** When the budget is whole again after one more; undefined: it has none left. */
function taken(whole: number, now: number, aMinute: number): number | undefined {
  const after = Math.max(now, whole) + MINUTE / aMinute;
  return after - now > MINUTE + ROUNDING ? undefined : after;
}
