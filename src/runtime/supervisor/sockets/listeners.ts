/** What the guests of this host listen on: reported by their shims, checked against the kernel's own list. */
import type { PortMapping } from '../../../contract/control/location';
import type { OwnPort } from './locations';
import { LISTEN, readUdp, type TcpSocket } from './proc-net';

export interface ListenersOptions {
  /** A host that listens somewhere is settled when no listener was added for this long, in milliseconds. */
  readonly settleTime: number;
  readonly onChange: (ports: readonly OwnPort[], settled: boolean, settledDatagrams: boolean) => void;
  readonly onListening: (port: OwnPort) => void;
  /**
   * Whether guests used CPU or started processes since the last call. Servers open a port for their own kind first, and
   * the one for clients when they are ready: as long as they are at it, up to `SETTLE_LIMIT`, the host is not settled.
   */
  readonly starting?: () => boolean;
  /** The kernel's list, now. */
  readonly sockets: () => readonly TcpSocket[];
}

export interface Listeners {
  readonly ports: readonly OwnPort[];
  readonly settled: boolean;
  /** The same of UDP ports alone: a server may bind some long before it listens. */
  readonly settledDatagrams: boolean;
  add(port: OwnPort): void;
  /** The port that a connection to this host's own virtual address goes to. */
  find(port: number): OwnPort | undefined;
  /** Drops listeners that are closed, and UDP ports likewise. */
  check(sockets: readonly TcpSocket[], datagrams?: () => readonly TcpSocket[]): void;
  close(): void;
}

/** Whatever its guests do, a host is settled when no listener was added for this long, in milliseconds. */
export const SETTLE_LIMIT = 60_000;

/** The guests are looked at first so many milliseconds after a listener was added. */
const FIRST_LOOK = 50;

interface Settling {
  settled: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** A listener may be announced a moment before the kernel lists it. */
const YOUNG = 1_000;

/** The fewest listeners that are worth looking at all of them when one is added. */
const MANY = 64;

export function createListeners(options: ListenersOptions): Listeners {
  const open = new Map<string, { readonly port: OwnPort; readonly since: number }>();
  const tcp: Settling = { settled: false, timer: undefined };
  const udp: Settling = { settled: false, timer: undefined };
  const ports = () => [...open.values()].map((entry) => entry.port);
  const report = () => options.onChange(ports(), tcp.settled, udp.settled);
  const unsettle = (which: Settling, settleTime?: number) => {
    which.settled = false;
    clearTimeout(which.timer);
    if (settleTime === undefined) return;
    let waited = 0;
    const settle = () => {
      waited += settleTime;
      if (waited < SETTLE_LIMIT && options.starting?.()) return arm();
      which.settled = true;
      report();
    };
    const arm = (delay = settleTime) => {
      which.timer = setTimeout(settle, delay);
      which.timer.unref();
    };
    if (!options.starting) return arm();
    const { starting } = options;
    // Not at once, as somebody waits for a connection to this listener.
    const first = Math.min(FIRST_LOOK, settleTime / 2);
    const look = () => {
      starting();
      arm(settleTime - first);
    };
    which.timer = setTimeout(look, first);
    which.timer.unref();
  };
  let many = MANY;
  /** Forgets those of `entries` that nothing listens at any more; whether there was one. */
  const drop = (
    entries: readonly (readonly [string, { readonly port: OwnPort }])[],
    sockets: readonly TcpSocket[],
    datagrams: () => readonly TcpSocket[] = readUdp,
  ) => {
    const listening = sockets.filter((socket) => socket.state === LISTEN);
    const bound = entries.some(([, { port }]) => port.protocol) ? datagrams() : [];
    const closed = entries.filter(
      ([, { port }]) => !(port.protocol ? bound : listening).some((socket) => isListener(socket, port)),
    );
    for (const [key] of closed) open.delete(key);
    return closed.length > 0;
  };

  /** Those that cannot be looked at now, for want of descriptors, are looked at later. */
  const dropNow = (entries: Parameters<typeof drop>[0]) => {
    try {
      drop(entries, options.sockets());
    } catch {
      // `check` comes again, and the next listener too
    }
  };

  return {
    get ports() {
      return ports();
    },
    get settled() {
      return tcp.settled;
    },
    get settledDatagrams() {
      return udp.settled;
    },
    add: (port) => {
      const key = keyOf(port);
      const before = open.get(key);
      open.set(key, { port, since: performance.now() });
      // Forked workers and servers that call listen() twice announce the same listener again.
      const same = before?.port.real === port.real && before.port.realPort === port.realPort;
      if (same) return;
      // The port was listened on at another address: by a listener that is closed, mostly, and would be taken for this
      // one.
      const others = [...open].filter(
        ([other, entry]) => other !== key && entry.port.port === port.port && entry.port.protocol === port.protocol,
      );
      if (others.length > 0) dropNow(others);
      if (open.size >= many) {
        // Those of a client, that nobody checks, would fill the table one day.
        dropNow([...open].filter(([other]) => other !== key));
        many = Math.max(MANY, 2 * open.size);
      }
      unsettle(port.protocol ? udp : tcp, options.settleTime);
      report();
      if (!before) options.onListening(port);
    },
    find: (port) => ports().find((p) => p.port === port && !p.protocol && isPublic(p)),
    check: (sockets, datagrams = readUdp) => {
      const old = [...open].filter(([, { since }]) => performance.now() - since >= YOUNG);
      if (!drop(old, sockets, datagrams)) return;
      // Nothing listens any more: a connect waits for a listener again, as at the start.
      if (!ports().some((port) => !port.protocol)) unsettle(tcp);
      if (!ports().some((port) => port.protocol)) unsettle(udp);
      report();
    },
    close: () => {
      clearTimeout(tcp.timer);
      clearTimeout(udp.timer);
    },
  };
}

const keyOf = ({ scope, port, protocol, address = 0 }: OwnPort) => `${scope}:${address}:${port}/${protocol ?? 'tcp'}`;

/** Whether that socket is the listener, or the bound UDP socket, that was reported. */
function isListener(socket: TcpSocket, port: OwnPort): boolean {
  // Of IPv6 addresses only those that stand for IPv4 ones are distinguished.
  if (port.scope === 'loopback6') return socket.localPort === port.realPort && socket.local === -1;
  return socket.localPort === port.realPort && (socket.local === port.real || socket.local === 0);
}

function isPublic(port: OwnPort): port is OwnPort & { readonly scope: 'any' | 'host' } {
  return port.scope === 'any' || port.scope === 'host';
}

/** More than this the seed does not take in one frame. */
const MOST_PUBLIC = 4_096;

/** What other hosts may know of a host's ports. */
export function publicPorts(ports: readonly OwnPort[]): PortMapping[] {
  return ports
    .filter(isPublic)
    .slice(0, MOST_PUBLIC)
    .map(({ port, realPort, scope, protocol }) => ({ port, realPort, scope, ...(protocol && { protocol }) }));
}
