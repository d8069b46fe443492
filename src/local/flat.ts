/**
 * Network `flat`: each running cluster has a number N of its own on this machine (127.N and 127.N+1 are its addresses). Taken by
 * an abstract Unix socket, which exists once per network namespace, as loopback addresses do, and is gone with its process.
 */
import { createServer, type Server } from 'node:net';
import { LocalError } from './errors';

export interface FlatNetwork {
  readonly number: number;
  /** Gives the number back. */
  release(): void;
}

const FIRST = 64;
const LAST = 252;

/**
 * Takes a number whose seed address 127.N.0.1:port can be bound.
 * @throws LocalError
 */
export async function takeFlatNetwork(port: number): Promise<FlatNetwork> {
  let inUse = 0;
  for (let number = FIRST; number <= LAST; number += 2) {
    const lock = await listen({ path: `\0imaginary-machines/flat/${number}` });
    if (lock.error?.code === 'EADDRINUSE') continue;
    if (lock.error) throw new LocalError('no-address', `no network number can be taken: ${lock.error.message}`);
    const seed = await listen({ host: `127.${number}.0.1`, port });
    if (!seed.error) {
      await new Promise((resolve) => seed.server.close(resolve));
      return { number, release: () => lock.server.close() };
    }
    lock.server.close();
    if (seed.error.code !== 'EADDRINUSE') throw cannotBind(port, number, seed.error);
    // Something on the wildcard address has the port under every number: three of them tell.
    if (++inUse === 3) throw portInUse(port, number);
  }
  if (inUse > 0) throw portInUse(port, LAST);
  throw new LocalError(
    'no-address',
    'all network numbers of this machine are taken by running clusters',
    'imaginary down, where one of them is not needed',
  );
}

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

type Listening = { readonly server: Server; readonly error?: undefined } | { readonly error: NodeJS.ErrnoException };

function listen(where: { path: string } | { host: string; port: number }): Promise<Listening> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => resolve({ error }));
    server.listen(where, () => resolve({ server }));
  });
}
