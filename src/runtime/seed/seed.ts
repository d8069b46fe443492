import type { Manifest } from '../../contract/manifest';
import { loadNative } from '../../native/addon/load';
import { listenControl } from '../control/server';
import type { Log } from '../control/session';
import type { Invoke } from './allocator/lambda';
import { limits } from './allocator/limits';
import { keyring } from './keyring';
import { directoryOf } from './locate/directory';
import { createWaiters } from './locate/waiters';
import { createEpochSessions } from './machine/epoch-sessions';
import { EXPECT_LIMIT } from './machine/expected';
import { type Host, imaginedHost } from './machine/host';
import { lifecycle } from './machine/lifecycle';
import { clientPlaces } from './members/clients';
import { MOST_WAITING } from './members/inbox';
import { members } from './members/members';
import { servePeer } from './members/peers';
import { portRanges } from './members/port-ranges';
import { eventLog } from './operators/events';
import { operatorApi } from './operators/operator-api';
import { openRelay } from './relay/relay';

export interface SeedOptions {
  readonly manifest: Manifest;
  /** Reads the cluster keys, the newest first (see `parseClusterKeys`): at the start and at every reload. */
  readonly keys: () => Promise<readonly Uint8Array[]>;
  /** `address:port` to listen on. */
  readonly listen: string;
  /** `address:port` of the data port. Default: any free port, where the seed listens. */
  readonly dataListen?: string;
  /** `address:port` that host functions are told. Default: where it really listens. */
  readonly address?: string;
  /** What invokes host functions. Allocations wait for it; joins do not. */
  readonly invoke: Promise<Invoke>;
  readonly log: Log;
  /** Network `flat`: its number N. Hosts are at 127.N.c.d for their virtual addresses a.b.c.d. Absent: hosts are where they are seen. */
  readonly flat?: number;
  /**
   * Milliseconds after the start, and after the last host of an earlier seed that has rejoined, in which others may rejoin before
   * anything is allocated. Default 2,000.
   */
  readonly grace?: number;
  /** Milliseconds after which a lost control connection means a lost host. Default 10,000. */
  readonly lostAfter?: number;
  /** Ports that a host is likely to open yet are waited for so long after its first, in milliseconds. Default: 10 s. */
  readonly expectLimit?: number;
  /** Milliseconds between signs of life on control connections. Default 5,000. */
  readonly heartbeat?: number;
  /** Milliseconds from any start, by which allocations a minute are counted. Default: the machine's. */
  readonly clock?: () => number;
}

export interface Seed {
  /** `address:port` that is listened on. */
  readonly address: string;
  readonly dataPort: number;
  /** Reads the cluster keys again. @returns their ids. @throws what reading them throws; then they stay as they were */
  reload(): Promise<readonly string[]>;
  /**
   * Ends the seed. Hosts go on running and rejoin the next seed; with `down`, they are told to stop first, and their
   * invocations' ends are waited for, 4 s at most.
   */
  stop(options?: { readonly down?: boolean }): Promise<void>;
}

const KEPT_EVENTS = { most: 10_000, bytes: 16 * 1024 * 1024 };
/** Bytes of the seed's own that may wait for a peer that does not read, besides one frame. */
const MOST_OWN = 1024 * 1024;
const DOWN_LIMIT = 4_000;
/** Looks at who is back in one grace time, and grace times at most in which nobody is back. */
const GRACE_LOOKS = 8;
const MAX_GRACE = 5;
/** Milliseconds after the start in which hosts of an earlier seed come back. Later ones were cut off by themselves. */
const RETURN_LIMIT = 60_000;

/** Starts a seed. @throws the error of listen(2), and what reading the keys throws */
export async function startSeed(options: SeedOptions): Promise<Seed> {
  const { manifest, log } = options;
  const cluster = manifest.cluster.name;
  const events = eventLog(KEPT_EVENTS, ({ host, event, detail }) =>
    log(
      event === 'failed' || event === 'limited' ? 'warn' : 'info',
      event,
      host === null ? detail : { ...detail, host },
    ),
  );
  const directory = directoryOf(manifest);
  const hosts = new Map<string, Host>(manifest.hosts.map((entry, i) => [entry.name, imaginedHost(entry, i)]));
  const joined = members(directory, hosts);
  const ring = keyring(cluster, await options.keys());
  const reload = async () => {
    const before = ring.ids.join(' ');
    ring.replace(await options.keys());
    const accepted = ring.ids.join(' ');
    if (accepted !== before) events.emit(null, 'keys-changed', { newest: ring.ids[0], accepted });
    return ring.ids;
  };
  let grace: NodeJS.Timeout | undefined;
  let stopping = false;
  let address = options.address;

  const meeting = createWaiters({ events, wake: (host, cause) => cycle.wake(host, cause) });
  const cycle = lifecycle({
    cluster,
    get address() {
      return address!;
    },
    secretOf: ring.issue,
    invoke: options.invoke,
    events,
    waiters: meeting,
    limits: limits(manifest.cluster.limits, options.clock ?? (() => performance.now())),
    mayAllocate: () => grace === undefined && !stopping,
    // The first may be later than the grace time, and is not the last.
    onReturn: () => performance.now() - startedAt < RETURN_LIMIT && startGrace(),
  });
  const graceMs = options.grace ?? 2_000;
  const startedAt = performance.now();
  const startGrace = () => {
    if (graceMs === 0 || grace || stopping) return;
    // Many take longer than that, and are all in their handshakes before the first has joined. With each that is back it begins anew;
    // as long as there are handshakes too, but up to a limit: they may be anybody's.
    let quiet = 0;
    const look = (before: number, left: number) => {
      const more = joined.size > before;
      quiet = more || server.handshaking > 0 ? 0 : quiet + 1;
      if (quiet < GRACE_LOOKS && left > 0) {
        grace = setTimeout(look, graceMs / GRACE_LOOKS, joined.size, more ? left : left - 1);
        return;
      }
      grace = undefined;
      for (const host of hosts.values()) cycle.wakeForWaiters(host);
    };
    grace = setTimeout(look, graceMs / GRACE_LOOKS, joined.size, MAX_GRACE * GRACE_LOOKS);
  };

  const relay = openRelay({
    native: loadNative(),
    listen: options.dataListen ?? `${options.listen.slice(0, options.listen.lastIndexOf(':'))}:0`,
    members: joined,
    events,
    log,
  });
  const peerOptions = {
    manifest,
    directory,
    hosts,
    flat: options.flat,
    clients: clientPlaces(manifest, directory),
    members: joined,
    portRangeAt: portRanges(log),
    relay,
    lifecycle: cycle,
    waiters: meeting,
    sessions: createEpochSessions({
      lifecycle: cycle,
      waiters: meeting,
      events,
      lostAfter: options.lostAfter ?? 10_000,
      expectLimit: options.expectLimit ?? EXPECT_LIMIT,
    }),
    operator: operatorApi(manifest, hosts, events, reload, Date.now()),
    log,
  };

  const server = await listenControl({
    listen: options.listen,
    heartbeat: options.heartbeat,
    maxQueued: MOST_WAITING + MOST_OWN,
    secretOf: (identity) => (identity.kind === 'host' && !hosts.has(identity.host) ? undefined : ring.expect(identity)),
    onPeer: (identity, channel) => ring.watch(identity, channel, servePeer(peerOptions, identity, channel)),
    onRejected: (peer, reason) => log('warn', `a connection from ${peer} was rejected: ${reason}`, { peer }),
  }).catch((error) => {
    relay.close();
    throw error;
  });
  address ??= server.address;
  events.emit(null, 'seed-started', {
    address,
    listen: server.address,
    dataPort: relay.port,
    hosts: hosts.size,
    graceMs,
  });
  startGrace();

  return {
    address: server.address,
    dataPort: relay.port,
    reload,
    stop: async ({ down = false } = {}) => {
      stopping = true;
      clearTimeout(grace);
      if (down) {
        for (const { channel } of joined.all()) {
          channel.send({ type: 'stop', reason: 'the cluster goes down', fenced: false });
        }
        const open = [...hosts.values()].flatMap(({ lifeline }) => (lifeline ? [lifeline.ended] : []));
        let limit: NodeJS.Timeout | undefined;
        await Promise.race([
          Promise.all(open),
          new Promise((resolve) => {
            limit = setTimeout(resolve, DOWN_LIMIT);
          }),
        ]);
        clearTimeout(limit);
      }
      for (const host of hosts.values()) {
        for (const { peer } of host.waiters) meeting.forget(peer);
        cycle.close(host);
      }
      relay.close();
      await server.close();
      for (const host of hosts.values()) cycle.close(host);
    },
  };
}
