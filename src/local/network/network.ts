/** What a network is to the platform, whichever it is. */
import type { Server, Socket } from 'node:net';
import type { NetworkInfo } from '../../contract/platform/platform-info';

/** Where a sandbox (or the seed, or a client) is. */
export interface Slot {
  /** For the launcher. */
  readonly options: readonly string[];
  /** Everything that it needs is in force; before, nothing may run in it. */
  readonly ready: Promise<void>;
  /** Nobody else is there: who reaches a server of that place is in it. */
  readonly exclusive: boolean;
  /** Makes a server of ours reachable there, and nowhere else. @returns its `address:port` */
  listen(server: Server): Promise<string>;
  /** When nothing is in it any longer. */
  close(): void;
}

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
  /** A place for a sandbox of that host (of that function, where it is no host's). */
  place(owner: string): Promise<Slot>;
  /** Rejects when it is gone before it was closed. Never resolves. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}
