/**
 * Clients whose TLS ends here. The data port hands over such a client's socket; what it says in plain comes back to the
 * data port as another caller, which has the client's address: from there on it is like all others.
 */
import { getSystemErrorName } from 'node:util';
import { parseAddress } from '../../../../contract/manifest';
import type { Relay } from '../../relay/relay';
import type { Caller } from '../caller';
import type { ExposedPort } from '../exposed-port';
import { Certificates, type CertificatesOptions } from './certificates';
import { Handshakes } from './handshakes';
import { TlsEnd } from './tls-end';

export interface TlsClientsOptions extends CertificatesOptions {
  readonly relay: Pick<Relay, 'take' | 'adopt'>;
}

export interface TlsClientHandlers {
  /** The handshake is over: the data port knows the client by this number from now on. */
  onCaller(id: number): void;
  /** The handshake has failed. The client is reset. */
  onFailed(reason: string): void;
  /** It is over, in every case. */
  onEnd(): void;
}

export class TlsClients {
  readonly #relay: TlsClientsOptions['relay'];
  readonly #certificates: Certificates;
  readonly #handshakes = new Handshakes();
  readonly #ends = new Set<TlsEnd>();

  constructor(options: TlsClientsOptions, ports: readonly ExposedPort[]) {
    this.#relay = options.relay;
    this.#certificates = new Certificates(
      options,
      ports.flatMap(({ wanted }) => wanted ?? []),
    );
  }

  /** Reads the certificates. @param onRead after each time */
  start(onRead: () => void): void {
    this.#certificates.start(onRead);
  }

  reload(): Promise<void> {
    return this.#certificates.reload();
  }

  /** Whether its clients can be served: it needs no certificate, or has one. */
  isReady({ wanted }: ExposedPort): boolean {
    return !wanted || typeof this.#certificates.of(wanted) !== 'string';
  }

  /** @returns why its TLS cannot end here: then the data port has the client still, and nothing follows */
  begin(caller: Caller, { wanted }: ExposedPort, handlers: TlsClientHandlers): string | undefined {
    const { address, port } = caller.client;
    const certificate = this.#certificates.of(wanted!);
    if (typeof certificate === 'string') return certificate;
    const excess = this.#handshakes.begin(address);
    if (excess) return excess;
    const descriptor = this.#relay.take(caller.id);
    if (descriptor < 0) {
      // That it has left is on its way here.
      this.#handshakes.end(address);
      handlers.onEnd();
      return undefined;
    }
    const end: TlsEnd = new TlsEnd(descriptor, certificate.context, {
      onHandshakeEnd: (problem) => {
        this.#handshakes.end(address);
        if (problem !== undefined) handlers.onFailed(problem);
      },
      onSecure: () => {
        const [error, id, plain] = this.#relay.adopt(parseAddress(address)!, port);
        if (error === 0) {
          handlers.onCaller(id);
          return plain;
        }
        handlers.onFailed(getSystemErrorName(-error));
        return -1;
      },
      onEnd: () => {
        this.#ends.delete(end);
        handlers.onEnd();
      },
    });
    this.#ends.add(end);
    return undefined;
  }

  close(): void {
    this.#certificates.close();
    for (const end of this.#ends) end.reset();
  }
}
