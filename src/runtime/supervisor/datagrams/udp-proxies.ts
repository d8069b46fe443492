/**
 * UDP ports of other hosts, as guests here see them: real sockets at those hosts' loopback aliases, inside this
 * sandbox. What a guest sends to one is carried to the host that it stands for; what comes from there is sent to the
 * guest from it, so that its source is shown by arithmetic, as in network `flat`.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { hiddenPort, plainPort } from '../../../contract/abi/shim';
import { aliasAddress } from '../../../contract/abi/table';
import { formatAddress } from '../../../contract/manifest/address';
import type { Datagram } from '../../../contract/peer/datagram';
import type { Guard } from '../../control/guard';
import type { Log } from '../run/log';
import type { OwnPort } from '../sockets/locations';

export interface UdpProxiesOptions {
  readonly aliases: number;
  /** Virtual address of this host. */
  readonly self: number;
  readonly ownPorts: () => readonly OwnPort[];
  /** To the host with this virtual address. */
  readonly send: (address: number, datagram: Datagram) => void;
  readonly guard: Guard;
  readonly log: Log;
}

export interface UdpProxies {
  /** Where guests here reach that port of that host; undefined: there is no room. */
  open(address: number, port: number): Promise<{ readonly real: number; readonly realPort: number } | undefined>;
  /** A datagram from that host, for a guest here. */
  deliver(address: number, datagram: Datagram): void;
  close(): void;
}

interface UdpProxy {
  readonly socket: Socket;
  /** False: it could not be bound. */
  readonly bound: Promise<boolean>;
  used: number;
}

/** Descriptors are scarce: Lambda allows 1,024. The one that was used least recently makes room. */
const MOST = 128;
/** Longer than a shim remembers its recent peers (30 s). */
const IDLE = 120_000;
const SWEEP = 30_000;

export function createUdpProxies(options: UdpProxiesOptions): UdpProxies {
  const { aliases, self, log } = options;
  const udpProxies = new Map<string, UdpProxy>();
  const ownAlias = formatAddress(aliasAddress(aliases, self));

  const end = (key: string) => {
    udpProxies.get(key)?.socket.close();
    udpProxies.delete(key);
  };
  const sweeper = setInterval(() => {
    const now = performance.now();
    for (const [key, { used }] of udpProxies) if (now - used > IDLE) end(key);
  }, SWEEP);
  sweeper.unref();

  const create = (key: string, address: number, port: number): UdpProxy => {
    if (udpProxies.size >= MOST) end(udpProxies.keys().next().value!);
    const socket = createSocket('udp4');
    const at = { address: formatAddress(aliasAddress(aliases, address)), port: hiddenPort(port), exclusive: true };
    const bound = new Promise<boolean>((done) => {
      socket.once('listening', () => done(true));
      socket.once('close', () => done(false));
      socket.on('error', (error) => {
        log('warn', `a UDP port of another host cannot be stood in for: ${error.message}`);
        done(false);
        if (udpProxies.get(key) === proxy) end(key);
      });
    });
    const pass = (data: Buffer, from: RemoteInfo) => {
      touch(key, proxy);
      if (from.address !== ownAlias) return;
      const own = options.ownPorts().find((p) => p.protocol === 'udp' && p.realPort === from.port);
      options.send(address, { sourcePort: own?.port ?? plainPort(from.port), port, data });
    };
    socket.on('message', (data, from) => options.guard('a datagram of a guest', () => pass(data, from)));
    const proxy: UdpProxy = { socket, bound, used: performance.now() };
    socket.bind(at);
    socket.unref();
    udpProxies.set(key, proxy);
    return proxy;
  };

  /** Used last: ended last. */
  const touch = (key: string, proxy: UdpProxy) => {
    if (udpProxies.get(key) !== proxy) return;
    proxy.used = performance.now();
    udpProxies.delete(key);
    udpProxies.set(key, proxy);
  };

  const find = (address: number, port: number): UdpProxy => {
    const key = `${address}:${port}`;
    const proxy = udpProxies.get(key) ?? create(key, address, port);
    touch(key, proxy);
    return proxy;
  };

  return {
    open: async (address, port) =>
      (await find(address, port).bound)
        ? { real: aliasAddress(aliases, address), realPort: hiddenPort(port) }
        : undefined,
    deliver: (address, { sourcePort, port, data }) => {
      const own = options.ownPorts().find((p) => p.protocol === 'udp' && p.port === port && isForOthers(p));
      const proxy = find(address, sourcePort);
      const to = own ? formatAddress(own.real) : ownAlias;
      const send = async () => {
        const open = (await proxy.bound) && udpProxies.get(`${address}:${sourcePort}`) === proxy;
        if (open) proxy.socket.send(data, own?.realPort ?? hiddenPort(port), to, () => undefined);
      };
      options.guard('a datagram of another host', send);
    },
    close: () => {
      clearInterval(sweeper);
      for (const key of [...udpProxies.keys()]) end(key);
    },
  };
}

function isForOthers({ scope }: OwnPort): boolean {
  return scope === 'any' || scope === 'host';
}
