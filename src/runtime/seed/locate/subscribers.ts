import type { FromSeed } from '../../../contract/control/from-seed';
import type { Location } from '../../../contract/control/location';
import type { MemberId } from '../machine/state';

/** Versions of a host's location that one member was sent last, and has acknowledged. */
interface Subscription {
  sent: number;
  acked: number;
}

/**
 * Which members know one host's location. A member is sent it because it located the host, until the member disconnects
 * or the epoch ends.
 */
export class Subscribers {
  readonly #send: (member: MemberId, frame: FromSeed) => void;
  readonly #subscriptions = new Map<MemberId, Subscription>();
  #version = 0;
  #awaited = 0;

  constructor(send: (member: MemberId, frame: FromSeed) => void) {
    this.#send = send;
  }

  add(member: MemberId): void {
    if (this.#subscriptions.has(member)) return;
    this.#subscriptions.set(member, { sent: this.#version, acked: this.#version });
  }

  /** Adds the member, and sends it where the host is now. */
  tell(member: MemberId, location: Location): void {
    this.add(member);
    this.#sendTo(member, this.#subscriptions.get(member)!, location);
  }

  remove(member: MemberId): void {
    this.#subscriptions.delete(member);
  }

  /**
   * Sends every subscriber where the host is now. A subscriber that has not acknowledged the version before is sent
   * this one when it has: a host that changes again and again fills no connection.
   */
  publish(location: Location): void {
    this.#version += 1;
    for (const [member, subscription] of this.#subscriptions) {
      if (subscription.sent === subscription.acked) this.#sendTo(member, subscription, location);
    }
  }

  /**
   * Sends every subscriber that this epoch has ended, and forgets them: a member that wants the next one locates again.
   */
  publishEnd(location: Location): void {
    this.#version += 1;
    for (const [member, subscription] of this.#subscriptions) this.#sendTo(member, subscription, location);
    this.#subscriptions.clear();
  }

  /** @param location the present one: the member is sent it where that is newer */
  acknowledge(member: MemberId, version: number, location: Location): void {
    const subscription = this.#subscriptions.get(member);
    if (!subscription || version <= subscription.acked || version > subscription.sent) return;
    subscription.acked = version;
    if (subscription.sent === version && version < this.#version) this.#sendTo(member, subscription, location);
  }

  /** From now on `missing` counts for the present version. */
  awaitAcks(): void {
    this.#awaited = this.#version;
  }

  /** Subscribers that have not acknowledged the awaited version. */
  get missing(): number {
    let count = 0;
    for (const { acked } of this.#subscriptions.values()) if (acked < this.#awaited) count += 1;
    return count;
  }

  #sendTo(member: MemberId, subscription: Subscription, location: Location): void {
    subscription.sent = this.#version;
    this.#send(member, { type: 'location', version: this.#version, location });
  }
}
