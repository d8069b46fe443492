/** Where clients from outside reach hosts, for people and for programs. */
import type { ExposedHost } from '../../local';

/** Ports of which a browser needs a URL. */
const URLS: Readonly<Record<number, string>> = { 80: 'http', 443: 'https', 8000: 'http', 8080: 'http', 8443: 'https' };

export interface ShownHost extends ExposedHost {
  /** What a user opens: a URL where the ports say that it is HTTP, or `address:port`. */
  readonly url: string;
}

export function exposedAs(exposed: ExposedHost): ShownHost {
  const { protocol, address, port, wanted, hostPort, tls } = exposed;
  const plain = protocol === 'tcp' ? (URLS[wanted] ?? URLS[hostPort]) : undefined;
  const scheme = tls && plain ? 'https' : plain;
  return { ...exposed, url: `${scheme ?? protocol}://${address}:${port}` };
}

export function exposedTexts(all: readonly ShownHost[]): string[] {
  return all.map(({ host, url, port, wanted, serverNames }) => {
    const names = serverNames.length > 0 ? ` as ${serverNames.join(', ')}` : '';
    const instead = port === wanted ? '' : ` (port ${wanted} is taken here)`;
    return `${url} is ${host}${names}${instead}`;
  });
}
