import { isDeepStrictEqual } from 'node:util';
import type { Endpoint, NatReport, Observation } from '../../contract/peer/peer-messages';
import { hearKnock, type Knock } from './nat/knock';
import { classifyNat, unclassified } from './nat/nat';
import { PunchError } from './punched/punch';

export interface OwnNatOptions {
  readonly signal: AbortSignal;
  /** Called for each report, unless this member has joined once more by then. */
  readonly onReport: (report: NatReport) => void;
  /** Of a member that everybody may reach. */
  readonly knock?: Knock;
}

/** The NAT of this member, and the seed's data port: known once the member has joined. */
export class OwnNat {
  #dataPort: Endpoint | undefined;
  /** As far as it is known. */
  #now: NatReport | undefined;
  /** With which the NAT was classified last, and as what. */
  #seen: Observation | undefined;
  #known: NatReport | undefined;
  #report: Promise<NatReport> | undefined;
  /** A one-to-one NAT that the seed has been heard through. */
  #open: NatReport | undefined;
  /** Ends with the next join. */
  #current = new AbortController();

  /** False in network `flat`: a member never joins the transports there. */
  get joined(): boolean {
    return this.#dataPort !== undefined;
  }

  /** The seed's data port. @throws PunchError before this member has joined */
  readonly dataPort = (): Endpoint => {
    if (!this.#dataPort) throw noConnections();
    return this.#dataPort;
  };

  /** As far as it is known now: of kind `unknown` until the NAT has been classified. @throws PunchError likewise */
  readonly now = (): NatReport => {
    if (!this.#now) throw noConnections();
    return this.#now;
  };

  /** Waits until the NAT has been classified. @throws PunchError before this member has joined */
  readonly report = (): Promise<NatReport> => this.#report ?? Promise.reject(noConnections());

  /**
   * Joined (again). Over a connection that was kept, the NAT still is the one that has made its mapping: nothing is found
   * out anew, unless it has not been before.
   */
  join(seen: Observation, options: OwnNatOptions): void {
    this.#dataPort = seen.dataPort;
    this.#current.abort();
    this.#current = new AbortController();
    if (this.#known && isDeepStrictEqual({ ...seen, ports: undefined }, { ...this.#seen, ports: undefined })) {
      this.#now = { ...this.#known, ports: seen.ports };
      this.#report = Promise.resolve(this.#now);
      return;
    }
    this.#seen = seen;
    this.#known = undefined;
    this.#now = unclassified(seen);
    this.#report = this.#classify(seen, options, this.#current.signal);
  }

  async #classify(seen: Observation, options: OwnNatOptions, current: AbortSignal): Promise<NatReport> {
    const found = await classifyNat(seen, options.signal);
    const mine = this.#wasHeard(found) ? { ...found, kind: 'one-to-one' as const } : found;
    if (current.aborted) return mine;
    this.#take(mine, options);
    // Nobody waits for that: what preserves ports is punched to meanwhile.
    if (options.knock && mine.kind === 'port-preserving') void this.#knock(mine, options.knock, options, current);
    return mine;
  }

  async #knock(mine: NatReport, knock: Knock, options: OwnNatOptions, current: AbortSignal): Promise<void> {
    const heard = await hearKnock(mine, knock, AbortSignal.any([options.signal, current]));
    if (!heard || current.aborted) return;
    this.#open = { ...mine, kind: 'one-to-one' };
    this.#report = Promise.resolve(this.#open);
    this.#take(this.#open, options);
  }

  /** Behind the same address, under the same one. */
  #wasHeard({ kind, reflexiveAddress, localAddress }: NatReport): boolean {
    const open = this.#open;
    if (kind !== 'port-preserving' || !open) return false;
    return open.reflexiveAddress === reflexiveAddress && open.localAddress === localAddress;
  }

  #take(mine: NatReport, { onReport }: OwnNatOptions): void {
    this.#now = mine;
    if (mine.kind !== 'unknown') this.#known = mine;
    onReport(mine);
  }
}

const noConnections = () => new PunchError('this member carries no connections');
