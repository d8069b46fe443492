/** What the guests of this host listen on: told by their shims, checked against the kernel's own list. */
import type { PortMapping } from '../protocol/location';
import type { OwnPort } from './locations';
import { LISTEN, readUdp, type TcpSocket } from './proc-net';

export interface ListenersOptions {
  /** A host that listens somewhere is settled when no listener was added for this long, in milliseconds. */
  readonly settleTime: number;
  /** Whether the socket with this inode belongs to a guest; undefined: cannot be told. */
  readonly onChange: (ports: readonly OwnPort[], settled: boolean, settledDatagrams: boolean) => void;
  readonly onListening: (port: OwnPort) => void;
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

interface Settling {
  settled: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** A listener may be announced a moment before the kernel lists it. */
const YOUNG = 1_000;

export function createListeners(options: ListenersOptions): Listeners {
  const open = new Map<string, { readonly port: OwnPort; readonly since: number }>();
  const tcp: Settling = { settled: false, timer: undefined };
  const udp: Settling = { settled: false, timer: undefined };
  const ports = () => [...open.values()].map((entry) => entry.port);
  const tell = () => options.onChange(ports(), tcp.settled, udp.settled);
  const unsettle = (which: Settling, settleTime?: number) => {
    which.settled = false;
    clearTimeout(which.timer);
    if (settleTime === undefined) return;
    which.timer = setTimeout(() => {
      which.settled = true;
      tell();
    }, settleTime);
    which.timer.unref();
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
      const key = `${port.scope}:${port.port}/${port.protocol ?? 'tcp'}`;
      const before = open.get(key);
      open.set(key, { port, since: performance.now() });
      // Forked workers and servers that call listen() twice announce the same listener again.
      const same = before?.port.real === port.real && before.port.realPort === port.realPort;
      if (same) return;
      unsettle(port.protocol ? udp : tcp, options.settleTime);
      tell();
      if (!before) options.onListening(port);
    },
    find: (port) => ports().find((p) => p.port === port && !p.protocol && p.scope !== 'loopback'),
    check: (sockets, datagrams = readUdp) => {
      const listening = sockets.filter((socket) => socket.state === LISTEN);
      const bound = [...open.values()].some(({ port }) => port.protocol) ? datagrams() : [];
      let changed = false;
      for (const [key, { port, since }] of open) {
        if (performance.now() - since < YOUNG || (port.protocol ? bound : listening).some((s) => isListener(s, port)))
          continue;
        open.delete(key);
        changed = true;
      }
      if (!changed) return;
      // Nothing listens any more: whoever asks waits for a listener again, as at the start.
      if (!ports().some((port) => !port.protocol)) unsettle(tcp);
      if (!ports().some((port) => port.protocol)) unsettle(udp);
      tell();
    },
    close: () => {
      clearTimeout(tcp.timer);
      clearTimeout(udp.timer);
    },
  };
}

function isListener(socket: TcpSocket, port: OwnPort): boolean {
  return socket.localPort === port.realPort && (socket.local === port.real || socket.local === 0);
}

/** What other hosts may know of a host's ports. */
export function publicPorts(ports: readonly OwnPort[]): PortMapping[] {
  return ports
    .filter((p) => p.scope !== 'loopback')
    .map(({ port, realPort, scope, protocol }) => ({ port, realPort, scope, ...(protocol && { protocol }) }));
}
