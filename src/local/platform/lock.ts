/**
 * Locks between platforms: abstract Unix sockets. One exists once per network namespace, as loopback addresses do,
 * leaves no file, and is gone with its process, however that ends.
 */
import { createServer } from 'node:net';

export interface Lock {
  release(): void;
}

/** @returns undefined when another process holds it */
export function takeLock(name: string): Promise<Lock | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(`\0imaginary-machines/${name}`, () => {
      server.unref();
      resolve({ release: () => server.close() });
    });
  });
}
