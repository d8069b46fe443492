import type { ClusterStatus, FromSeed } from '../../../contract/control/from-seed';
import type { ToSeed } from '../../../contract/control/to-seed';
import type { Manifest } from '../../../contract/manifest';
import type { Channel } from '../../control/channel';
import type { Machine } from '../machine/interpreter';
import { epochOf, type Holder, sessionOf, visiblePorts } from '../machine/state';
import type { Prefetch } from '../prefetch/prefetch';
import type { EventLog } from './events';

const OPERATOR_FRAMES = ['status', 'edges', 'events', 'reload', 'command'] as const;

export type OperatorFrame = Extract<ToSeed, { type: (typeof OPERATOR_FRAMES)[number] }>;

export function isOfOperators(frame: ToSeed): frame is OperatorFrame {
  return OPERATOR_FRAMES.some((type) => type === frame.type);
}

const EDGES_A_FRAME = 1_000;

/** A clock that is off by so many milliseconds was set. */
const SET = 500;
let origin = performance.timeOrigin;

/** The machine's times as the time of day, by the clock as it is now: it may have been set meanwhile. */
function timeOf(at: number): number {
  const shows = Date.now() - performance.now();
  if (Math.abs(shows - origin) > SET) origin = shows;
  return origin + at;
}

function shown<H extends Holder & { readonly until?: number }>(holder: H | undefined) {
  if (!holder) return undefined;
  const { since, until } = holder;
  return { ...holder, since: timeOf(since), ...(until !== undefined && { until: timeOf(until) }) };
}

/** What operators may request. */
export class OperatorApi {
  readonly #manifest: Manifest;
  readonly #hosts: ReadonlyMap<string, Machine>;
  readonly #events: EventLog;
  readonly #prefetch: Pick<Prefetch, 'edges'>;
  readonly #reload: () => Promise<readonly string[]>;
  readonly #startedAt = performance.now();

  /** @param reload gives the ids of the keys that are accepted now */
  constructor(
    manifest: Manifest,
    hosts: ReadonlyMap<string, Machine>,
    events: EventLog,
    prefetch: Pick<Prefetch, 'edges'>,
    reload: () => Promise<readonly string[]>,
  ) {
    this.#manifest = manifest;
    this.#hosts = hosts;
    this.#events = events;
    this.#prefetch = prefetch;
    this.#reload = reload;
  }

  serve(channel: Channel<FromSeed>, request: OperatorFrame, closing: AbortSignal) {
    const { type, id } = request;
    switch (type) {
      case 'status':
        return void channel.send({ type: 'statusReply', id, status: this.#status() });
      case 'edges':
        return void this.#edges(channel, id).catch(channel.destroy);
      case 'events':
        return void this.#stream(channel, id, request.follow, closing).catch(channel.destroy);
      case 'reload':
        return void this.#reload().then(
          (keys) => channel.send({ type: 'reloaded', id, keys }),
          (error: Error) => channel.send({ type: 'refuse', reason: error.message }),
        );
      case 'command':
        return this.#command(channel, request);
      default:
        return request satisfies never;
    }
  }

  #command(channel: Channel<FromSeed>, { id, host: name, command }: Extract<OperatorFrame, { type: 'command' }>) {
    const host = this.#hosts.get(name);
    if (!host) return void channel.send({ type: 'refuse', reason: `there is no host '${name}' in the cluster` });
    return void host.command(command).then((result) => channel.send({ type: 'commandReply', id, ...result }));
  }

  async #edges(channel: Channel<FromSeed>, id: number): Promise<void> {
    const all = this.#prefetch.edges();
    for (let next = 0; next === 0 || next < all.length; next += EDGES_A_FRAME) {
      const edges = all.slice(next, next + EDGES_A_FRAME);
      if (!channel.send({ type: 'edgesReply', id, edges, more: next + EDGES_A_FRAME < all.length })) return;
      await channel.drained();
    }
  }

  #status(): ClusterStatus {
    const { name: cluster, cidr } = this.#manifest.cluster;
    const hosts = [...this.#hosts.values()].map(({ state, entry }) => ({
      name: entry.name,
      address: entry.address,
      state: state.phase.state,
      epoch: epochOf(state),
      since: timeOf(state.stateSince),
      allocations: state.allocations,
      allocateMs: state.allocateMs,
      ports: [...new Set(visiblePorts(sessionOf(state)?.ports ?? []).map((p) => p.port))],
      waiting: state.waiters.length,
      heldBy: shown(sessionOf(state)?.heldBy),
      lastHeldBy: shown(state.lastHeldBy),
      reason: state.reason,
    }));
    return { cluster, cidr, startedAt: timeOf(this.#startedAt), hosts };
  }

  /** Reads along the log at the pace of the operator: one that is slow misses events, and holds up nobody. */
  async #stream(channel: Channel<FromSeed>, id: number, follow: boolean, closing: AbortSignal): Promise<void> {
    let wake: () => void = () => undefined;
    const stop = this.#events.watch(() => wake());
    const onClose = () => wake();
    closing.addEventListener('abort', onClose);
    try {
      for (let next = 0; !closing.aborted; ) {
        const found = this.#events.from(next);
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
  }
}
