/**
 * Who is in the cluster now, and the members that follow it. A change costs a frame for each of those, and nothing for
 * anybody else.
 */

import type { FromSeed } from '../../../contract/control/from-seed';
import { type MemberEntry, MOST_MEMBERS } from '../../../contract/control/membership';
import { Allowance } from '../allowance';
import type { MemberId } from '../machine/state';

/** The list is as long as the cluster: a member may ask for it so many times at once, and each second. */
const ASKS = { burst: 32, rate: 2 };

interface Follower {
  readonly id: number;
  /** What it has not been sent yet, by node id: the last change of each member. */
  readonly pending: Map<number, MemberEntry>;
  /** It has a frame that it has not taken over: what changes meanwhile is merged. */
  busy: boolean;
  /** The frame that it was sent last was complete. */
  complete: boolean;
}

export interface MembershipOptions {
  readonly send: (member: MemberId, frame: FromSeed) => void;
  /** A host has joined, or is in the cluster no more. `hosts`: how many have joined, suspended ones among them. */
  readonly onHost: (name: string, present: boolean, hosts: number) => void;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #present = new Map<number, MemberEntry>();
  readonly #followers = new Map<MemberId, Follower>();
  readonly #asks = new Map<MemberId, Allowance>();
  /** Node ids of clients, by name. */
  readonly #clients = new Map<string, number>();
  /** Names of the hosts among them. */
  readonly #hosts = new Set<string>();
  #open = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** Hosts that have joined. */
  get hosts(): ReadonlySet<string> {
    return this.#hosts;
  }

  /** Members of an earlier seed have had time to join this one: followers may be sent who is there. */
  open(): void {
    if (this.#open) return;
    this.#open = true;
    for (const [member, follower] of this.#followers) this.#flush(member, follower);
  }

  changed(entry: MemberEntry, isHost: boolean): void {
    const before = this.#present.get(entry.id);
    if (entry.state === 'left') this.#present.delete(entry.id);
    else this.#present.set(entry.id, entry);
    if (!before && entry.state === 'left') return;
    if (!isHost && entry.state !== 'left') this.#clients.set(entry.name, entry.id);
    for (const [member, follower] of this.#followers) {
      follower.pending.set(entry.id, entry);
      this.#flush(member, follower);
    }
    if (!isHost || Boolean(before) === (entry.state !== 'left')) return;
    if (before) this.#hosts.delete(entry.name);
    else this.#hosts.add(entry.name);
    this.#options.onHost(entry.name, !before, this.#hosts.size);
  }

  /** That client is in the cluster no more. */
  clientGone(name: string): void {
    const id = this.#clients.get(name);
    const entry = id === undefined ? undefined : this.#present.get(id);
    this.#clients.delete(name);
    if (entry) this.changed({ ...entry, state: 'left' }, false);
  }

  /** @returns false: it asks too often */
  follow(member: MemberId, id: number): boolean {
    const asks = this.#asks.get(member) ?? new Allowance(ASKS.burst, ASKS.rate);
    this.#asks.set(member, asks);
    if (!asks.take()) return false;
    const follower = { id, pending: new Map(this.#present), busy: false, complete: false };
    this.#followers.set(member, follower);
    this.#flush(member, follower);
    return true;
  }

  /** The member has taken over what it was sent. */
  next(member: MemberId, id: number): void {
    const follower = this.#followers.get(member);
    if (!follower?.busy || follower.id !== id) return;
    follower.busy = false;
    this.#flush(member, follower);
  }

  end(member: MemberId): void {
    this.#followers.delete(member);
  }

  /** The member is gone itself. */
  forget(member: MemberId): void {
    this.#followers.delete(member);
    this.#asks.delete(member);
  }

  #flush(member: MemberId, follower: Follower): void {
    const { pending, busy, complete: known } = follower;
    if (!this.#open || busy || (known && pending.size === 0)) return;
    const members: MemberEntry[] = [];
    for (const entry of pending.values()) {
      if (members.length === MOST_MEMBERS) break;
      members.push(entry);
    }
    for (const { id } of members) pending.delete(id);
    follower.busy = true;
    follower.complete = pending.size === 0;
    this.#options.send(member, { type: 'members', id: follower.id, members, complete: follower.complete });
  }
}
