/** What a network is to the platform, whichever it is. */
import type { Socket } from 'node:net';
import type { Slot } from './slot';

export interface Network {
  /** What `platform.json` says of it. */
  readonly info: NetworkInfo;
  /** `address:port` of the seed, for hosts and clients. */
  readonly seedAddress: string;
  readonly seed: Slot;
  /** A connection to the seed, from outside of the network. */
  dialSeed(): Promise<Socket>;
  /** Variables that every function gets besides Lambda's. */
  readonly environment: Readonly<Record<string, string>>;
  /** What is not as on AWS, in words. */
  readonly missing: readonly string[];
  /** Makes ready what a first cold start would wait for. */
  prepare(): void;
  /** A slot for a sandbox of that host (of that function, where it is no host's). */
  takeSlot(owner: string): Promise<Slot>;
  /** Rejects when it is gone before it was closed. Never resolves. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

export type NetworkInfo = FlatInfo | NatInfo;

export interface FlatInfo {
  readonly kind: 'flat';
  /** The real address of virtual a.b.c.d is 127.number.c.d. */
  readonly number: number;
}

export interface NatInfo {
  readonly kind: 'nat';
  /** Public addresses are out of this range. */
  readonly range: string;
  /** Kind of each host's NAT, in the words of `--nat`. */
  readonly nats: Readonly<Record<string, string>>;
  /** Unix socket that leads to the seed. */
  readonly operators: string;
  /** Unix socket where programs of this machine take a slot, see `control-socket.ts`. */
  readonly control: string;
  /** Proves that one may. */
  readonly token: string;
}
