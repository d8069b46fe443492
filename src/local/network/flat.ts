/**
 * Network `flat`: each running cluster has a number N of its own on this machine; 127.N and 127.N+1 are its addresses.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { LocalError } from '../errors';
import { takeLock } from '../platform/lock';
import type { Network } from './network';
import type { Slot } from './slot';

const FIRST = 64;
const LAST = 252;

/**
 * Takes a number whose seed address 127.N.0.1:port can be bound, and 127.N+1.0.1:port where there is a standby.
 * @throws LocalError
 */
export async function openFlat(port: number, standby: boolean): Promise<Network> {
  let inUse = 0;
  for (let number = FIRST; number <= LAST; number += 2) {
    const lock = await takeLock(`flat/${number}`);
    if (!lock) continue;
    const first = await tryToListen(`127.${number}.0.1`, port);
    const error = first ?? (standby ? await tryToListen(standbyOf(number), port) : undefined);
    if (!error) return flatNetwork(number, port, standby, lock.release);
    lock.release();
    if (error.code !== 'EADDRINUSE') throw cannotBind(port, number, error);
    // Something on the wildcard address has the port under every number: three of them are proof enough.
    if (++inUse === 3) throw portInUse(port, number);
  }
  if (inUse > 0) throw portInUse(port, LAST);
  throw new LocalError(
    'no-address',
    'all network numbers of this machine are taken by running clusters',
    'imaginary down, where one of them is not needed',
  );
}

function flatNetwork(number: number, port: number, standby: boolean, release: () => void): Network {
  const hosts = [`127.${number}.0.1`, ...(standby ? [standbyOf(number)] : [])];
  return {
    info: { kind: 'flat', number },
    seeds: hosts.map((host) => ({ address: `${host}:${port}`, slot: HERE, dial: () => dial(host, port) })),
    environment: { IMAGINARY_FLAT: String(number) },
    missing: [],
    prepare: () => undefined,
    takeSlot: async () => HERE,
    broken: new Promise(() => undefined),
    close: async () => release(),
  };
}

/** The loopback alias of what would have the seed's virtual address: no host has it. */
const standbyOf = (number: number) => `127.${number + 1}.0.1`;

function dial(host: string, port: number): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect({ host, port });
    socket.once('connect', () => done(socket.off('error', fail)));
    socket.once('error', fail);
  });
}

/** Where the platform itself is. */
const HERE: Slot = {
  exclusive: false,
  options: [],
  ready: Promise.resolve(),
  listen: (server: Server) =>
    new Promise((done, fail) => {
      server.once('error', fail);
      server.listen(0, '127.0.0.1', () => done(`127.0.0.1:${(server.address() as AddressInfo).port}`));
    }),
  silence: async () => undefined,
  close: () => undefined,
};

function portInUse(port: number, number: number): LocalError {
  return new LocalError(
    'port-in-use',
    `port ${port} is in use on 127.${number}.0.1, where the seed would listen`,
    `Choose another port for the seed with --port PORT, or end what listens there: ss -ltnp 'sport = :${port}'`,
  );
}

function cannotBind(port: number, number: number, error: NodeJS.ErrnoException): LocalError {
  const next = error.code === 'EACCES' ? 'Choose a port from 1024 on with --port PORT.' : undefined;
  return new LocalError('no-address', `the seed cannot listen on 127.${number}.0.1:${port}: ${error.message}`, next);
}

/** @returns why it cannot be done */
function tryToListen(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}
