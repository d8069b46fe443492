import type { Socket } from 'node:net';

/** Connections whose peer has not proved its identity yet. */
export interface Handshakes {
  readonly count: number;
  add(socket: Socket): void;
  /** The peer has proved its identity. `socket`: the TLS socket above the connection. */
  done(socket: Socket): void;
  destroyAll(): void;
}

/** As many open at a time; and half as many of one address, behind which there may be a thousand hosts. */
export const MAX_HANDSHAKES = 2_048;
/** As many under way at a time. */
const MAX_BEGUN = 64;
/** Milliseconds after which one that is under way still does not keep others from beginning. */
const PATIENCE = 100;

/**
 * Keeps their number within bounds (their time is node's `handshakeTimeout`), and begins them in the order in which
 * they came, a few at a time: a thousand that come at once and take turns would all be ready at the very end, or all
 * run out of time. One that does not go on holds up the others for a moment only, whatever it is that it waits for.
 *
 * When there are too many, the oldest goes: a peer that knows the key is through within a few round trips, so
 * connections that wait for nothing soon fill the table. A flood of one address pushes out its own.
 */
export function handshakes(
  begin: (socket: Socket) => void,
  onDropped: (peer: string, reason: string) => void,
  { limit = MAX_HANDSHAKES, atOnce = MAX_BEGUN, patience = PATIENCE } = {},
): Handshakes {
  interface Open {
    readonly socket: Socket;
    readonly address: string;
  }
  /** By endpoint, oldest first: the raw socket and the TLS socket above it have that in common. */
  const all = new Map<string, Open>();
  const byAddress = new Map<string, Map<string, Open>>();

  /** Endpoints, the first to come first. */
  const waiting = new Set<string>();
  const begun = new Map<string, NodeJS.Timeout>();

  const beginNext = () => {
    for (const endpoint of waiting) {
      if (begun.size >= atOnce) return;
      waiting.delete(endpoint);
      begun.set(
        endpoint,
        setTimeout(() => release(endpoint), patience),
      );
      begin(all.get(endpoint)!.socket);
    }
  };
  const release = (endpoint: string) => {
    clearTimeout(begun.get(endpoint));
    if (begun.delete(endpoint)) beginNext();
  };

  const forget = (endpoint: string) => {
    const open = all.get(endpoint);
    if (!open) return;
    all.delete(endpoint);
    waiting.delete(endpoint);
    const same = byAddress.get(open.address)!;
    same.delete(endpoint);
    if (same.size === 0) byAddress.delete(open.address);
    release(endpoint);
  };
  const drop = (endpoint: string, reason: string) => {
    const open = all.get(endpoint);
    if (!open) return;
    forget(endpoint);
    open.socket.destroy();
    onDropped(open.address, reason);
  };
  const oldest = (of: Map<string, Open>) => of.keys().next().value as string;

  return {
    get count() {
      return all.size;
    },
    add: (socket) => {
      const address = socket.remoteAddress ?? 'unknown';
      const same = byAddress.get(address) ?? new Map<string, Open>();
      const reason = (count: number) => `no handshake, and ${count} later connections are in theirs`;
      if (same.size >= limit / 2) drop(oldest(same), reason(same.size));
      else if (all.size >= limit) drop(oldest(all), reason(all.size));
      const endpoint = endpointOf(socket);
      const open = { socket, address };
      all.set(endpoint, open);
      same.set(endpoint, open);
      byAddress.set(address, same);
      socket.once('close', () => all.get(endpoint) === open && forget(endpoint));
      waiting.add(endpoint);
      beginNext();
    },
    done: (socket) => forget(endpointOf(socket)),
    destroyAll: () => {
      waiting.clear();
      for (const { socket } of [...all.values()]) socket.destroy();
    },
  };
}

function endpointOf(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}
