import type { ClusterStatus, FromSeed } from '../../../contract/control/from-seed';
import type { ToSeed } from '../../../contract/control/to-seed';
import type { Manifest } from '../../../contract/manifest';
import type { Channel } from '../../control/channel';
import { epochOf, type Host, sessionOf, visiblePorts } from '../machine/host';
import type { EventLog } from './events';

type Request = Extract<ToSeed, { type: 'status' | 'events' | 'reload' }>;

/** What operators may ask. */
export interface OperatorApi {
  serve(channel: Channel<FromSeed>, request: Request, closing: AbortSignal): void;
}

export function operatorApi(
  manifest: Manifest,
  hosts: ReadonlyMap<string, Host>,
  events: EventLog,
  /** @returns ids of the keys that are accepted now */
  reload: () => Promise<readonly string[]>,
  startedAt: number,
): OperatorApi {
  const status = (): ClusterStatus => ({
    cluster: manifest.cluster.name,
    cidr: manifest.cluster.cidr,
    startedAt,
    hosts: [...hosts.values()].map((host) => ({
      name: host.entry.name,
      address: host.entry.address,
      state: host.phase.state,
      epoch: epochOf(host),
      since: host.stateSince,
      allocations: host.allocations,
      allocateMs: host.allocateMs,
      ports: [...new Set(visiblePorts(sessionOf(host)?.ports ?? []).map((p) => p.port))],
      waiting: host.waiters.size,
      reason: host.reason,
    })),
  });

  /** Reads along the log at the pace of the operator: one that is slow misses events, and holds up nobody. */
  const stream = async (channel: Channel<FromSeed>, id: number, follow: boolean, closing: AbortSignal) => {
    let wake: () => void = () => undefined;
    const stop = events.watch(() => wake());
    const onClose = () => wake();
    closing.addEventListener('abort', onClose);
    try {
      for (let next = 0; !closing.aborted; ) {
        const found = events.from(next);
        if (found) {
          if (!channel.send({ type: 'event', id, event: found.event })) return;
          next = found.index + 1;
          await channel.drained();
        } else if (follow) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        } else {
          channel.send({ type: 'eventsEnd', id });
          return;
        }
      }
    } finally {
      stop();
      closing.removeEventListener('abort', onClose);
    }
  };

  return {
    serve: (channel, request, closing) => {
      switch (request.type) {
        case 'status':
          return void channel.send({ type: 'statusReply', id: request.id, status: status() });
        case 'events':
          return void stream(channel, request.id, request.follow, closing).catch(channel.destroy);
        case 'reload':
          return void reload().then(
            (keys) => channel.send({ type: 'reloaded', id: request.id, keys }),
            (error: Error) => channel.send({ type: 'refuse', reason: error.message }),
          );
        default:
          request satisfies never;
      }
    },
  };
}
