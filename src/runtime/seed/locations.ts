import { type Host, locationOf, type Peer } from './host';

/**
 * Who knows which location. A peer is told a host's location because it asked for the host, until it disconnects or the
 * incarnation ends.
 */

export function subscribe(host: Host, peer: Peer): void {
  if (host.subscribers.has(peer)) return;
  host.subscribers.set(peer, host.version);
  peer.subscriptions.add(host);
}

/** Tells every subscriber where the host is now. */
export function publish(host: Host): void {
  host.version += 1;
  if (host.subscribers.size === 0) return;
  const frame = { type: 'location', version: host.version, location: locationOf(host) } as const;
  for (const peer of host.subscribers.keys()) peer.channel.send(frame);
}

/** Tells every subscriber that this incarnation has ended, and forgets them: who wants the next one asks again. */
export function publishEnd(host: Host): void {
  publish(host);
  for (const peer of host.subscribers.keys()) peer.subscriptions.delete(host);
  host.subscribers.clear();
  host.onAck?.();
}

export function acknowledge(peer: Peer, host: Host, version: number): void {
  const known = host.subscribers.get(peer);
  if (known === undefined || version <= known || version > host.version) return;
  host.subscribers.set(peer, version);
  host.onAck?.();
}

/** A peer that is gone can reach nobody: that counts as an acknowledgement. */
export function unsubscribeAll(peer: Peer): void {
  for (const host of peer.subscriptions) {
    host.subscribers.delete(peer);
    host.onAck?.();
  }
  peer.subscriptions.clear();
}

/**
 * Waits until every subscriber has the present version in force, or is gone; at most `limit` ms.
 * @returns how many had not said so by then
 */
export function settledEverywhere(host: Host, limit: number): Promise<number> {
  const version = host.version;
  const missing = () => {
    let count = 0;
    for (const acked of host.subscribers.values()) if (acked < version) count += 1;
    return count;
  };
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      host.onAck = undefined;
      resolve(missing());
    };
    const timer = setTimeout(finish, limit);
    host.onAck = () => {
      if (missing() === 0) finish();
    };
    host.onAck();
  });
}
