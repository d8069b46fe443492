import type { Manifest } from '../../manifest';
import { listenControl } from '../control/server';
import type { Log } from '../control/session';
import { deriveSecret, hostIdentity } from '../protocol/psk';
import { clientPlaces } from './clients';
import { directoryOf } from './directory';
import { eventLog } from './events';
import { type Host, imaginedHost, type Peer } from './host';
import { incarnations } from './incarnation';
import type { Invoke } from './lambda';
import { lifecycle } from './lifecycle';
import { operatorDesk } from './operator';
import { servePeer } from './peers';
import { rendezvous } from './rendezvous';

export interface SeedOptions {
  readonly manifest: Manifest;
  /** See `parseClusterKey`. */
  readonly clusterKey: Uint8Array;
  /** `address:port` to listen on. */
  readonly listen: string;
  /** `address:port` that host functions are told. Default: where it really listens. */
  readonly address?: string;
  /** What invokes host functions. Allocations wait for it; joins do not. */
  readonly invoke: Promise<Invoke>;
  readonly log: Log;
  /** Milliseconds after the start in which hosts of an earlier seed may rejoin before anything is allocated. Default 2,000. */
  readonly grace?: number;
  /** Milliseconds after which a lost control connection means a lost host. Default 10,000. */
  readonly lostAfter?: number;
  /** Milliseconds between signs of life on control connections. Default 5,000. */
  readonly heartbeat?: number;
}

export interface Seed {
  /** `address:port` that is listened on. */
  readonly address: string;
  /**
   * Ends the seed. Hosts go on running and rejoin the next seed; with `down`, they are told to stop first, and their
   * invocations' ends are waited for, 4 s at most.
   */
  stop(options?: { readonly down?: boolean }): Promise<void>;
}

const KEPT_EVENTS = 10_000;
const DOWN_LIMIT = 4_000;

/** Starts a seed. @throws the error of listen(2) */
export async function startSeed(options: SeedOptions): Promise<Seed> {
  const { manifest, clusterKey, log } = options;
  const cluster = manifest.cluster.name;
  const events = eventLog(KEPT_EVENTS, ({ host, event, detail }) =>
    log(event === 'failed' ? 'warn' : 'info', event, host === null ? detail : { host, ...detail }),
  );
  const directory = directoryOf(manifest);
  const hosts = new Map<string, Host>(manifest.hosts.map((entry, i) => [entry.name, imaginedHost(entry, i)]));
  const members = new Set<Peer>();
  const secretFor = (identity: string) => deriveSecret(clusterKey, cluster, identity);
  let grace: NodeJS.Timeout | undefined;
  let stopping = false;
  let address = options.address;

  const meeting = rendezvous({ events, wake: (host, cause) => cycle.wake(host, cause) });
  const cycle = lifecycle({
    cluster,
    get address() {
      return address!;
    },
    secretOf: (host, epoch) => secretFor(hostIdentity(host, epoch)).toString('base64'),
    invoke: options.invoke,
    events,
    rendezvous: meeting,
    mayAllocate: () => grace === undefined && !stopping,
  });
  const peerOptions = {
    manifest,
    directory,
    hosts,
    clients: clientPlaces(manifest, directory),
    lifecycle: cycle,
    rendezvous: meeting,
    incarnations: incarnations({
      lifecycle: cycle,
      rendezvous: meeting,
      events,
      lostAfter: options.lostAfter ?? 10_000,
    }),
    operator: operatorDesk(manifest, hosts, events, Date.now()),
    log,
  };

  const server = await listenControl({
    listen: options.listen,
    heartbeat: options.heartbeat,
    secretOf: (identity) => {
      if (identity.kind !== 'host') return secretFor(identity.kind);
      return hosts.has(identity.host) ? secretFor(hostIdentity(identity.host, identity.epoch)) : undefined;
    },
    onPeer: (identity, channel) => servePeer(peerOptions, identity, channel, members),
    onRejected: (peer, reason) => log('warn', `a connection from ${peer} was rejected: ${reason}`, { peer }),
  });
  address ??= server.address;
  const graceMs = options.grace ?? 2_000;
  events.emit(null, 'seed-started', { address, listen: server.address, hosts: hosts.size, graceMs });
  if (graceMs > 0) {
    grace = setTimeout(() => {
      grace = undefined;
      for (const host of hosts.values()) cycle.wakeForWaiters(host);
    }, graceMs);
  }

  return {
    address: server.address,
    stop: async ({ down = false } = {}) => {
      stopping = true;
      clearTimeout(grace);
      if (down) {
        for (const { channel } of members) {
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
      await server.close();
      for (const host of hosts.values()) cycle.close(host);
    },
  };
}
