import { type Host, locationOf, type Peer, type Subscription } from '../machine/host';

/**
 * Who knows which location. A peer is told a host's location because it asked for the host, until it disconnects or the
 * epoch ends.
 */

export function subscribe(host: Host, peer: Peer): void {
  if (host.subscribers.has(peer)) return;
  host.subscribers.set(peer, { sent: host.version, acked: host.version });
  peer.subscriptions.add(host);
}

/**
 * Tells every subscriber where the host is now. Who has not acknowledged what it was told before is told when it has: a host that
 * changes again and again fills nobody's connection.
 */
export function publish(host: Host): void {
  host.version += 1;
  for (const [peer, subscription] of host.subscribers) {
    if (subscription.sent === subscription.acked) send(host, peer, subscription);
  }
}

function send(host: Host, peer: Peer, subscription: Subscription): void {
  subscription.sent = host.version;
  peer.channel.send({ type: 'location', version: host.version, location: locationOf(host) });
}

/** Tells every subscriber that this epoch has ended, and forgets them: who wants the next one asks again. */
export function publishEnd(host: Host): void {
  host.version += 1;
  for (const [peer, subscription] of host.subscribers) {
    send(host, peer, subscription);
    peer.subscriptions.delete(host);
  }
  host.subscribers.clear();
  host.onAck?.();
}

export function acknowledge(peer: Peer, host: Host, version: number): void {
  const subscription = host.subscribers.get(peer);
  if (!subscription || version <= subscription.acked || version > subscription.sent) return;
  subscription.acked = version;
  if (subscription.sent === version && version < host.version) send(host, peer, subscription);
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
    for (const { acked } of host.subscribers.values()) if (acked < version) count += 1;
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
