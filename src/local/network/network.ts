/** What a network is to the platform, whichever it is. */
import type { Socket } from 'node:net';
import type { NetworkInfo } from '../../contract/platform/platform-info';
import type { Slot } from './slot';

export interface SeedPlace {
  /** `address:port` of the seed, for hosts and clients. */
  readonly address: string;
  readonly slot: Slot;
  /** A connection to the seed, from outside of the network. */
  dial(): Promise<Socket>;
}

export interface Network {
  /** What `platform.json` says of it. */
  readonly info: NetworkInfo;
  /** One, or two where the cluster has a standby. */
  readonly seeds: readonly SeedPlace[];
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
