/** Network `flat`: each running cluster has a number N of its own on this machine; 127.N and 127.N+1 are its addresses. */
import { createServer } from 'node:net';
import { LocalError } from './errors';
import { type Lock, takeLock } from './lock';

export interface FlatNetwork extends Lock {
  readonly number: number;
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
    const lock = await takeLock(`flat/${number}`);
    if (!lock) continue;
    const error = await tryToListen(`127.${number}.0.1`, port);
    if (!error) return { number, release: lock.release };
    lock.release();
    if (error.code !== 'EADDRINUSE') throw cannotBind(port, number, error);
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

/** @returns why it cannot be done */
function tryToListen(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}
