/** What one exposed port allows each client, by its address: checked before anything is allocated. */
import { type ManifestExpose, parseAddress, parseCidr } from '../../../contract/manifest';
import type { NativeClients } from '../../../native/addon';
import { loadNative } from '../../../native/addon/load';

type Rules = Pick<
  ManifestExpose,
  'allowFrom' | 'maxConnectionsPerClient' | 'maxNewConnectionsPerMinutePerClient' | 'maxAllocationsPerMinutePerClient'
>;

/** The data port counts by the same clock. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

export class ExposedClients {
  /** For the data port, which takes over who connects to a port of one host. */
  readonly native: NativeClients;
  readonly #clock: () => number;

  /** @param clock milliseconds, from any start */
  constructor(rules: Rules, clock: () => number = now) {
    const { maxConnectionsPerClient, maxNewConnectionsPerMinutePerClient, maxAllocationsPerMinutePerClient } = rules;
    const blocks = rules.allowFrom.map((text) => parseCidr(text)!).flatMap(({ base, size }) => [base, 2 ** 32 - size]);
    const most = [maxConnectionsPerClient, maxNewConnectionsPerMinutePerClient, maxAllocationsPerMinutePerClient];
    this.native = loadNative().exposedClients(Uint32Array.from(blocks), Uint32Array.from(most));
    this.#clock = clock;
  }

  /** Clients of which something is kept. */
  get size(): number {
    return this.native.size();
  }

  allows(address: string): boolean {
    return this.native.allows(parseAddress(address)!);
  }

  /** A client connects. If it may, that is counted until `leaves`; if not, nothing is. @returns why not */
  connects(address: string): string | undefined {
    return this.native.connects(parseAddress(address)!, this.#clock());
  }

  leaves(address: string): void {
    this.native.leaves(parseAddress(address)!);
  }

  /** A connection of the client is about to cause an allocation. @returns why it may not */
  allocates(address: string): string | undefined {
    return this.native.allocates(parseAddress(address)!, this.#clock());
  }
}
