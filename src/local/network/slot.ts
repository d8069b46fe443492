/** Where a sandbox, the seed or a client is in a network. */
import type { Server } from 'node:net';

export interface Slot {
  /** For the launcher. */
  readonly options: readonly string[];
  /** Everything that the slot needs is in force; before, nothing may run in it. */
  readonly ready: Promise<void>;
  /** The slot has one user: a process that reaches a server of the slot is in it. */
  readonly exclusive: boolean;
  /**
   * Makes a server of ours reachable in the slot, and nowhere else. @param port which it has where the slot has ports of
   * its own. Default: where Lambda's Runtime API is. @returns its `address:port`
   */
  listen(server: Server, port?: number): Promise<string>;
  /**
   * What is in the slot is frozen, or thawed again: a machine that stands still sends nothing and acknowledges nothing.
   * Does nothing where the slot has no network of its own.
   */
  silence(on: boolean): Promise<void>;
  /** When nothing is in the slot any longer. */
  close(): void;
}

/** What it takes to enter a slot of network `nat`. */
export interface Inside {
  /** Path of the network namespace. */
  readonly net: string;
  /** Path of the user namespace that it belongs to; absent: the platform's own. */
  readonly users?: string;
}

/** A slot behind a NAT. */
export interface NatSlot extends Slot, Inside {
  readonly privateAddress: string;
  readonly gate: Gate;
}

/** A NAT. */
export interface Gate {
  readonly space: number;
  /** Its link, as the internet has it. */
  readonly uplink: string;
  readonly ready: Promise<void>;
  /** Public address. */
  address: string;
}

export interface OccupiedSlot {
  readonly owner: string;
  readonly slot: NatSlot;
}

/** What other programs of this machine learn of a slot. */
export interface SlotInfo extends Inside {
  readonly privateAddress: string;
  readonly publicAddress: string;
}

export function slotInfo({ net, users, privateAddress, gate }: NatSlot): SlotInfo {
  return { net, users, privateAddress, publicAddress: gate.address };
}
