/** One entry of the manifest's `exposes`, as it is served. */
import type { ManifestExpose } from '../../../contract/manifest';
import { ExposedClients } from './clients';
import type { Wanted } from './tls/certificates';

export class ExposedPort {
  readonly clients: ExposedClients;
  /** The certificate that it needs: TLS ends here. */
  readonly wanted?: Wanted;
  /** Its clients are all its own, and known by their address alone: the data port counts them as it accepts. */
  counts = false;

  constructor(
    readonly rules: ManifestExpose,
    readonly number: number,
  ) {
    this.clients = new ExposedClients(rules);
    this.wanted = rules.tls && { ...rules, tls: rules.tls };
  }

  get hostPort(): number {
    return this.rules.hostPort ?? this.rules.port;
  }
}

/** Those that share a port and a protocol. */
export function byPort(exposes: readonly ManifestExpose[]): ReadonlyMap<string, readonly ExposedPort[]> {
  const ports = new Map<string, ExposedPort[]>();
  exposes.forEach((rules, number) => {
    const key = portKey(rules);
    ports.set(key, [...(ports.get(key) ?? []), new ExposedPort(rules, number)]);
  });
  for (const [one, ...others] of ports.values())
    one.counts = others.length === 0 && one.rules.serverNames.length === 0 && !one.wanted;
  return ports;
}

/** As flags and the local platform name it. */
export const portKey = ({ protocol, port }: Pick<ManifestExpose, 'protocol' | 'port'>): string => `${protocol}:${port}`;
