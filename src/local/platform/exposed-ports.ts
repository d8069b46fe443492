/**
 * Exposed ports of the manifest, bound at 127.0.0.1 of this machine: by the platform, so that they are there whatever
 * network the seed is in, and stay the same while it is started anew.
 */
import type { Manifest, ManifestExpose } from '../../contract/manifest';
import type { ExposedHost } from '../../contract/platform/platform-info';
import { loadNative } from '../../native/addon/load';
import { LocalError } from '../errors';

export interface BoundPort {
  /** As the seed's flag names it. */
  readonly key: string;
  readonly descriptor: number;
  readonly hosts: readonly ExposedHost[];
}

const ADDRESS = '127.0.0.1';
/** Where a port that only root may bind is looked for: 8080 for 80, 8443 for 443. */
const UNPRIVILEGED = 8_000;
const PRIVILEGED_BELOW = 1_024;
const LAST_PORT = 65_535;
/** Ports that are tried. */
const TRIES = 200;

/**
 * Binds each exposed port, or where that is taken the next one that is free.
 * @param undo gets what closes them
 * @throws LocalError `port-in-use`
 */
export function bindExposed({ exposes = [] }: Manifest, undo: Array<() => unknown>): BoundPort[] {
  const native = loadNative();
  const keys = new Map<string, ManifestExpose[]>();
  for (const one of exposes) {
    const key = `${one.protocol}:${one.port}`;
    keys.set(key, [...(keys.get(key) ?? []), one]);
  }
  return [...keys].map(([key, sharing]) => {
    const [{ port: wanted, protocol }] = sharing;
    const { descriptor, port } = bindNext(native.listen, wanted, protocol === 'udp');
    undo.push(() => native.closeDescriptor(descriptor));
    const hosts = sharing.map(({ host, hostPort = wanted, serverNames, tls }) => ({
      ...{ host, protocol, address: ADDRESS, port, wanted, hostPort },
      ...(tls ? { tls: true as const } : {}),
      serverNames: [...serverNames],
    }));
    return { key, descriptor, hosts };
  });
}

function bindNext(
  listen: (address: string, port: number, datagrams: boolean) => [descriptor: number, port: number],
  wanted: number,
  datagrams: boolean,
): { readonly descriptor: number; readonly port: number } {
  let port = wanted;
  let last: NodeJS.ErrnoException | undefined;
  for (let i = 0; i < TRIES && port <= LAST_PORT; i++) {
    try {
      const [descriptor] = listen(ADDRESS, port, datagrams);
      return { descriptor, port };
    } catch (error) {
      last = error as NodeJS.ErrnoException;
      if (last.code !== 'EADDRINUSE' && last.code !== 'EACCES') break;
      port += port < PRIVILEGED_BELOW ? UNPRIVILEGED : 1;
    }
  }
  const next = 'End what listens there, or expose another port.';
  throw new LocalError('port-in-use', `port ${wanted} of ${ADDRESS} cannot be exposed: ${last?.message}`, next);
}
