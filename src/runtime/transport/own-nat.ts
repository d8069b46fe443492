import { isDeepStrictEqual } from 'node:util';
import type { Endpoint, NatReport, Observation } from '../../contract/peer/peer-messages';
import { classifyNat, unclassified } from './nat/nat';
import { PunchError } from './punched/punch';

/** The NAT of this member, and the seed's data port: known once the member has joined. */
export class OwnNat {
  #dataPort: Endpoint | undefined;
  /** As far as it is known. */
  #now: NatReport | undefined;
  /** With which the NAT was classified last, and as what. */
  #seen: Observation | undefined;
  #known: NatReport | undefined;
  #report: Promise<NatReport> | undefined;

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
   * out anew, unless it has not been before. @param onReport called unless this member has joined once more by then */
  join(seen: Observation, signal: AbortSignal, onReport: (report: NatReport) => void): void {
    this.#dataPort = seen.dataPort;
    if (this.#known && isDeepStrictEqual({ ...seen, ports: undefined }, { ...this.#seen, ports: undefined })) {
      this.#now = { ...this.#known, ports: seen.ports };
      this.#report = Promise.resolve(this.#now);
      return;
    }
    this.#seen = seen;
    this.#known = undefined;
    this.#now = unclassified(seen);
    const report = classifyNat(seen, signal);
    this.#report = report;
    void report.then((mine) => {
      if (this.#report !== report) return;
      this.#now = mine;
      if (mine.kind !== 'unknown') this.#known = mine;
      onReport(mine);
    });
  }
}

const noConnections = () => new PunchError('this member carries no connections');
