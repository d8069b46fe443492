import { hiddenPort } from '../../../contract/abi/shim';
import type { ConnectErrno } from '../../../contract/control/errno';
import { expectLocated } from '../machine/expected';
import { type Cause, epochOf, type Host, locationOf, type Peer, visiblePorts, type Waiter } from '../machine/host';
import type { EventLog } from '../operators/events';
import { subscribe } from './subscriptions';

/** Asks: who waits for which port of which host, and how each wait ends. */
export interface Waiters {
  /** @param waited milliseconds that the guest has waited already */
  locate(peer: Peer, host: Host, id: number, port: number, waited: number, protocol?: 'udp'): void;
  cancel(peer: Peer, id: number): void;
  /** The peer is gone: nobody waits for its asks. */
  forget(peer: Peer): void;
  /** Answers, and refuses, what can be: the host's ports or its phase have changed. */
  serve(host: Host): void;
  /** Ends every wait for this host. */
  failAll(host: Host, errno: ConnectErrno, reason: string): void;
  /** Ends the waits of one member for this host, without an event for each. @returns how many those were */
  failOf(host: Host, asker: string, errno: ConnectErrno, reason: string): number;
}

export interface WaitersOptions {
  readonly events: EventLog;
  /** Somebody waits for a host that may have to be allocated or resumed. */
  readonly wake: (host: Host, cause: Cause) => void;
}

export function createWaiters({ events, wake }: WaitersOptions): Waiters {
  const end = (waiter: Waiter): number => {
    clearTimeout(waiter.timer);
    waiter.host.waiters.delete(waiter);
    waiter.peer.locates.delete(waiter.id);
    return Math.round(performance.now() - waiter.since);
  };

  const located = (waiter: Waiter, realPort: number) => {
    const { host, peer, id, port } = waiter;
    const waitedMs = end(waiter);
    subscribe(host, peer);
    peer.channel.send({ type: 'located', id, location: locationOf(host), realPort });
    events.emit(host.entry.name, 'connected', { from: peer.name, port, epoch: epochOf(host), waitedMs }, peer.name);
  };

  const refuse = (waiter: Waiter, errno: ConnectErrno, reason: string) => {
    const waitedMs = end(waiter);
    waiter.peer.channel.send({ type: 'unreachable', id: waiter.id, errno, reason });
    return waitedMs;
  };

  const fail = (waiter: Waiter, errno: ConnectErrno, reason: string) => {
    const { host, peer, port } = waiter;
    const waitedMs = refuse(waiter, errno, reason);
    events.emit(host.entry.name, 'refused', { from: peer.name, port, errno, reason, waitedMs }, peer.name);
  };

  const serve = (host: Host) => {
    const { phase } = host;
    if (phase.state === 'failed') return failAll(host, phase.errno, phase.reason);
    // Without its control connection the host may be anywhere: the asks wait until it is back or given up.
    if (phase.state !== 'running' || phase.fence || !phase.session.peer) return;
    const { ports, settled, settledDatagrams, expected } = phase.session;
    const key = ({ port, protocol }: { port: number; protocol?: 'udp' }) => `${port}/${protocol ?? 'tcp'}`;
    const open = new Map(visiblePorts(ports).map((p) => [key(p), p.realPort]));
    for (const waiter of [...host.waiters]) {
      const realPort = open.get(key(waiter));
      if (realPort !== undefined) located(waiter, realPort);
      else if (waiter.protocol === 'udp') {
        // Its ports are as they will be, or this one is of the kernel's choice: the kernel there knows whether to refuse.
        if (settled || settledDatagrams) located(waiter, hiddenPort(waiter.port));
      } else if (settled && !expected?.has(waiter.port)) fail(waiter, 'ECONNREFUSED', notOn(host, waiter.port));
    }
  };

  const failAll = (host: Host, errno: ConnectErrno, reason: string) => {
    for (const waiter of [...host.waiters]) fail(waiter, errno, reason);
  };

  return {
    locate: (peer, host, id, port, waited, protocol) => {
      const { allocationTimeout, name } = host.entry;
      const since = performance.now() - waited;
      const expire = () => {
        const what = host.phase.state === 'running' ? listensOn(host) : `is still ${host.phase.state}`;
        fail(waiter, 'ETIMEDOUT', `'${name}' ${what}; waited ${allocationTimeout} ms for port ${port}`);
      };
      const timer = setTimeout(expire, Math.max(0, allocationTimeout - waited));
      const waiter: Waiter = { peer, host, id, port, protocol, since, timer };
      host.waiters.add(waiter);
      peer.locates.set(id, waiter);
      if (!protocol) expectLocated(host, port, since);
      serve(host);
      if (host.waiters.has(waiter)) wake(host, { by: peer.name, port, since });
    },
    cancel: (peer, id) => {
      const waiter = peer.locates.get(id);
      if (waiter) end(waiter);
    },
    forget: (peer) => {
      for (const waiter of [...peer.locates.values()]) end(waiter);
    },
    serve,
    failAll,
    failOf: (host, asker, errno, reason) => {
      const own = [...host.waiters].filter(({ peer }) => peer.name === asker);
      for (const waiter of own) refuse(waiter, errno, reason);
      return own.length;
    },
  };
}

function notOn(host: Host, port: number): string {
  const { name, settleTime } = host.entry;
  return `'${name}' ${listensOn(host)}, not on ${port}, and has opened no further port for ${settleTime} ms (settleTime)`;
}

function listensOn(host: Host): string {
  const ports = host.phase.state === 'running' ? visiblePorts(host.phase.session.ports) : [];
  const names = ports.map(({ port, protocol }) => (protocol ? `${port}/${protocol}` : `${port}`));
  return names.length === 0 ? 'listens on no port' : `listens on ${names.join(', ')}`;
}
