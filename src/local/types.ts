import type { Manifest } from '../contract/manifest';
import type { PlatformInfo } from '../contract/platform/platform-info';

/** A Lambda function as the local platform runs it. */
export interface LocalFunction {
  readonly name: string;
  /** Folder that becomes `/var/task`. */
  readonly code: string;
  /** Folders that are merged, in this order, into `/opt`. */
  readonly layers: readonly string[];
  /**
   * `provided`: the program `bootstrap` of the code or of a layer is the runtime client. Default: Node.js, this
   * machine's.
   */
  readonly runtime?: 'provided';
  /** `file.export`, relative to the code or absolute. */
  readonly handler: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Names of variables that only a deployment knows. */
  readonly unknown?: readonly string[];
  /** MB. */
  readonly memorySize: number;
  /** Milliseconds. */
  readonly timeout: number;
  /** Absent: as many sandboxes at once as are invoked. */
  readonly reservedConcurrency?: number;
  /** Every invocation names a tenant, and no sandbox serves two of them (`TenantIsolationMode: PER_TENANT`). */
  readonly tenantIsolation?: boolean;
}

/** A cluster and the functions of its hosts. */
export interface LocalApplication {
  /** The cloud assembly or the manifest file it was read from, for messages. */
  readonly source: string;
  readonly manifest: Manifest;
  readonly functions: readonly LocalFunction[];
}

export type NetworkChoice = 'auto' | 'nat' | 'flat';

/** What a user chooses, by the names of the flags of `imaginary up` (`cli/options.ts`). */
export interface PlatformFlags {
  /** Port of the seed, instead of the manifest's. */
  readonly port?: number;
  /** `none`: as on a machine without any privilege. Default `auto`: the best that this machine allows. */
  readonly sandbox?: 'auto' | 'none';
  /**
   * `auto`: `nat` where this machine allows it. Default: `nat` with any of the two options below, else
   * `DEFAULT_NETWORK`.
   */
  readonly network?: NetworkChoice;
  /** Kinds of NAT: `WORDS` for all hosts, `HOST=WORDS` for one, like `symmetric+no-udp`. See `network/nat.ts`. */
  readonly nat?: readonly string[];
  /** Network `nat`: round trip over the internet, in milliseconds. Default 0. */
  readonly rtt?: number;
  /** Files in PEM, by absolute paths, for all exposed ports that have a certificate: the chain, and its private key. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Invocations that the account may run at one time. Default: Lambda's 1,000. */
  readonly concurrency?: number;
  /** A sandbox has Lambda's share of a processor: one for each 1,769 MB of its function's memory. */
  readonly cpuShare?: boolean;
  /** Every `Event` invocation is delivered twice, as Lambda's queue now and then does. */
  readonly duplicateEvents?: boolean;
}

export interface PlatformOptions extends PlatformFlags {
  readonly application: LocalApplication;
  /** Created when absent. Belongs to one running platform at a time. */
  readonly stateDir: string;
  /** Milliseconds before a failed `Event` invocation is tried again. Default: as on Lambda, 1 and 2 minutes. */
  readonly retryDelays?: readonly number[];
  /** Milliseconds that a sandbox of no host is kept for the next one. Default: 5 minutes. */
  readonly recycleAfter?: number;
  /** Gives up booting. A platform that is booted is stopped by `stop`. */
  readonly signal?: AbortSignal;
}

/** A booted platform. It lives in the process that booted it. */
export interface Platform {
  readonly info: PlatformInfo;
  /** Ends when the platform has stopped; fails when it had to stop by itself (disk full, seed cannot be started). */
  readonly done: Promise<void>;
  /** Stops seed and sandboxes and removes `platform.json`; after it nothing is left running. Safe to call twice. */
  stop(): Promise<void>;
}
