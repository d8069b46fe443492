/**
 * Signalling channels: a standing connection between the connectors of two members, over which one calls the other for
 * a guest's connection without JavaScript at either side (src/native/connector/signalling.c). Only where both know
 * their ports as others see them.
 */
import { randomBytes } from 'node:crypto';
import type { NatReport } from '../../../contract/peer/peer-messages';
import { type Connector, OpeningError } from '../connector';
import { isPredictable } from '../nat/nat';
import type { PeerMember } from '../peer-member';
import { meetingPoint } from './punch-ports';
import type { Punched } from './punched';
import { signallingTerms } from './terms';

export interface SignallingOptions {
  readonly punched: Pick<Punched, 'signalling'>;
  readonly connector: Pick<Connector, 'call'>;
  /** This member's own; waits until it is known. */
  readonly natReport: () => Promise<NatReport>;
  readonly signal: AbortSignal;
}

export class Signalling {
  /** By virtual address; also those that are being made. */
  readonly #channels = new Map<number, PeerMember>();

  constructor(private readonly options: SignallingOptions) {}

  /** Makes one, unless there is one or there cannot be one. */
  open(peer: PeerMember): void {
    if (this.to(peer.address)?.epoch === peer.epoch) return;
    this.#channels.set(peer.address, peer);
    // Without it, supervisors agree on each connection; the next one is a reason to try again.
    this.#make(peer).catch(() => this.#forget(peer));
  }

  /**
   * Makes so many connections ready over it: see `Punched.fill`. Undefined: that has to be agreed on in another way.
   */
  async fill(peer: PeerMember, count: number, low: number): Promise<number | undefined> {
    if (this.to(peer.address)?.epoch !== peer.epoch) return undefined;
    try {
      return await this.options.connector.call(peer.address, count, low, this.options.signal);
    } catch (error) {
      if (error instanceof OpeningError) return undefined;
      throw error;
    }
  }

  /** The channel to that address has ended. @returns false: there was none */
  lost(address: number): boolean {
    return this.#channels.delete(address);
  }

  /** The member that the channel to that address leads to. */
  to(address: number): PeerMember | undefined {
    return this.#channels.get(address);
  }

  async #make(peer: PeerMember): Promise<void> {
    const mine = await this.options.natReport();
    // A host that has just been allocated does not know its NAT yet: a later attempt may succeed.
    if (!isPredictable(mine) || !isPredictable(peer.nat) || meetingPoint(mine, peer.nat).near)
      return this.#forget(peer);
    const key = randomBytes(32).toString('base64');
    await this.options.punched.signalling(peer, key, signallingTerms('out', key, mine, peer.nat));
  }

  #forget(peer: PeerMember): void {
    if (this.to(peer.address) === peer) this.#channels.delete(peer.address);
  }
}
