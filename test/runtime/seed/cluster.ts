/** A seed, a Lambda API and real control sessions, for tests of the seed. Owns all of them. */
import { setMaxListeners } from 'node:events';
import type { ClusterEvent } from '../../../src/contract/control/from-seed';
import type { Location, PortMapping } from '../../../src/contract/control/location';
import { deriveSecret, hostIdentity } from '../../../src/contract/control/psk';
import {
  assignAddresses,
  formatAddress,
  type ManifestHost,
  type ManifestLimits,
  parseCidr,
  parseManifest,
} from '../../../src/contract/manifest';
import type { Invocation, InvocationResult } from '../../../src/contract/platform/invocation';
import {
  fetchStatus,
  LocateError,
  openSession,
  readEvents,
  type Session,
  type SessionOptions,
  type Welcome,
} from '../../../src/runtime/control/index';
import { lambdaInvoker } from '../../../src/runtime/seed/allocator/lambda';
import { type Seed, type SeedOptions, startSeed } from '../../../src/runtime/seed/seed';
import { eventually } from '../../support/eventually';
import { type LambdaApi, lambdaApi } from './allocator/lambda-api';

export const CLUSTER_KEY = Buffer.from('a cluster key for tests only');

/** The supervisor of one host, as test code sees it. */
export interface Supervisor {
  readonly invocation: Invocation;
  readonly session: Session & { readonly welcome: Welcome };
  /** Ends when the seed says stop; resolves to whether it was fenced. */
  readonly stopped: Promise<boolean>;
  /** What it was sent: `host epoch state` of a location, and `expected: host epoch`. */
  readonly told: string[];
  listen(...ports: number[]): void;
  /** Suspends as a supervisor does: sends `suspend`, leaves, returns. Undefined: the seed said no. */
  suspend(): Promise<InvocationResult | undefined>;
  exit(exitCode: number, reason?: string): Promise<InvocationResult>;
}

export interface Cluster {
  readonly lambda: LambdaApi;
  readonly seed: Seed;
  readonly events: ClusterEvent[];
  readonly logs: string[];
  /** Defines what a host's function does. The default: none is defined. */
  host(name: string, run: (invocation: Invocation) => Promise<InvocationResult>): void;
  /** A function that listens on these ports and then runs until the seed stops it. */
  serves(...ports: number[]): (invocation: Invocation) => Promise<InvocationResult>;
  /** Joins the seed as an invocation says. */
  supervise(invocation: Invocation, options?: { ports?: readonly PortMapping[]; life?: string }): Promise<Supervisor>;
  /** A client, and the locations that it was told of. */
  client(
    options?: Partial<SessionOptions>,
  ): Promise<Session & { readonly welcome: Welcome; readonly told: Location[] }>;
  access(identity: string): { seed: string; identity: string; secret: Buffer };
  /** Resolves when the host has failed and is imagined again. @returns the detail of `failed` */
  backedOff(name: string): Promise<ClusterEvent['detail']>;
  /** The first event, past or future, that matches. */
  event(host: string | null, name: string, match?: (event: ClusterEvent) => boolean): Promise<ClusterEvent>;
  /** Kills the seed and starts another one on the same address. Its events are appended. */
  restartSeed(options?: Partial<SeedOptions>): Promise<void>;
  close(): Promise<void>;
}

export function mapping(port: number, scope: PortMapping['scope'] = 'any'): PortMapping {
  return { port, realPort: port < 1_024 ? port + 40_000 : port, scope };
}

/** The errno and reason that a locate fails with. */
export function failure(locate: Promise<unknown>): Promise<{ errno: string; reason: string }> {
  return locate.then(
    () => ({ errno: 'none', reason: '' }),
    (error) => {
      if (!(error instanceof LocateError)) throw error;
      return { errno: error.errno, reason: error.message };
    },
  );
}

export async function bootCluster(
  hosts: ReadonlyArray<Pick<ManifestHost, 'name'> & Partial<ManifestHost>>,
  seedOptions: Partial<SeedOptions> = {},
  lambdaOptions: { reserved?: boolean } = {},
  limits: Partial<ManifestLimits> = {},
): Promise<Cluster> {
  const addresses = assignAddresses(parseCidr('100.64.0.0/16')!, hosts);
  const manifest = parseManifest({
    version: 1,
    cluster: { name: 'test', limits },
    hosts: hosts.map((host) => ({
      address: formatAddress(addresses.get(host.name)!),
      ...(host.kind === 'instance' ? {} : { functionName: `test-${host.name}`, command: ['guest'] }),
      ...host,
    })),
  });
  const lambda = await lambdaApi(lambdaOptions);
  const events: ClusterEvent[] = [];
  const logs: string[] = [];
  const watchers = new Set<() => void>();
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const sessions = new Set<Session>();

  const start = async (listen: string, options: Partial<SeedOptions>) => {
    const seed = await startSeed({
      manifest,
      keys: async () => [CLUSTER_KEY],
      listen,
      invoke: lambdaInvoker({ region: 'us-east-1', endpoint: lambda.endpoint }),
      log: (level, message, detail) => logs.push(`${level} ${message} ${JSON.stringify(detail ?? {})}`),
      grace: 0,
      ...seedOptions,
      ...options,
    });
    const reader = readEvents({ ...access('operator', seed.address), follow: true, signal: closing.signal });
    void (async () => {
      for await (const event of reader) {
        events.push(event);
        for (const watcher of watchers) watcher();
      }
    })().catch(() => undefined);
    return seed;
  };
  const access = (identity: string, seed: string) => ({
    seed,
    identity,
    secret: deriveSecret(CLUSTER_KEY, 'test', identity),
  });
  let seed = await start('127.0.0.1:0', {});

  const supervise: Cluster['supervise'] = async (invocation, { ports = [], life } = {}) => {
    let now: readonly PortMapping[] = ports;
    const told: string[] = [];
    let stop: (fenced: boolean) => void = () => undefined;
    const stopped = new Promise<boolean>((resolve) => (stop = resolve));
    const { host, epoch } = invocation;
    const session = await openSession({
      seed: invocation.seed,
      identity: hostIdentity(host, epoch),
      secret: invocation.secret,
      join: () => ({ host, epoch, life, ports: now }),
      onLocation: (location) => told.push(`${location.host} ${location.epoch} ${location.state}`),
      onExpected: (...expected) => told.push(`expected: ${expected.join(' ')}`),
      onRelease: () => void session.leave({ outcome: 'released' }).then(() => stop(false)),
      onStop: (_reason, fenced) => stop(fenced),
      signal: closing.signal,
    });
    sessions.add(session);
    return {
      invocation,
      session,
      stopped,
      told,
      listen: (...wanted) => {
        now = wanted.map((port) => mapping(port));
        session.ports(now, false);
      },
      suspend: async () => {
        const { ok } = await session.suspend();
        if (!ok) return undefined;
        await session.leave({ outcome: 'suspended' });
        return { host, epoch, outcome: 'suspended' };
      },
      exit: async (exitCode, reason) => {
        await session.leave({ outcome: 'exited', exitCode, reason });
        return { host, epoch, outcome: 'exited', exitCode, reason };
      },
    };
  };

  const event: Cluster['event'] = (host, name, match = () => true) =>
    new Promise((resolve) => {
      const look = () => {
        const found = events.find((event) => event.host === host && event.event === name && match(event));
        if (!found) return;
        watchers.delete(look);
        resolve(found);
      };
      watchers.add(look);
      look();
    });

  return {
    lambda,
    get seed() {
      return seed;
    },
    events,
    logs,
    host: (name, run) => void lambda.functions.set(`test-${name}`, run),
    supervise,
    serves:
      (...ports) =>
      async (invocation) => {
        const host = await supervise(invocation);
        host.session.report('guest-started', { pid: 1 });
        host.listen(...ports);
        await host.stopped;
        return { host: invocation.host, epoch: invocation.epoch, outcome: 'released' };
      },
    client: async (options = {}) => {
      const told: Location[] = [];
      const session = await openSession({
        ...access('client', seed.address),
        join: () => ({ ports: [] }),
        onLocation: (location) => told.push(location),
        onStop: () => undefined,
        signal: closing.signal,
        ...options,
      });
      sessions.add(session);
      return Object.assign(session, { told });
    },
    access: (identity) => access(identity, seed.address),
    backedOff: async (name) => {
      const { detail } = await event(name, 'failed');
      const stateOf = async () =>
        (await fetchStatus(access('operator', seed.address))).hosts.find((host) => host.name === name)?.state;
      await eventually(async () => (await stateOf()) === 'imagined');
      return detail;
    },
    event,
    restartSeed: async (options = {}) => {
      const { address } = seed;
      await seed.stop();
      seed = await start(address, options);
    },
    close: async () => {
      closing.abort();
      for (const session of sessions) session.close();
      await seed.stop();
      await lambda.close();
    },
  };
}
