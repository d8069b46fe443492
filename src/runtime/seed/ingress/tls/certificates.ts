/** Certificates of the exposed ports at which TLS ends: read at the start, and again for as long as the seed runs. */
import { open } from 'node:fs/promises';
import type { ManifestTls } from '../../../../contract/manifest';
import type { EventLog } from '../../operators/events';
import { type Certificate, certificateOf, type Pem, parsePem, parseSecret } from './certificate';

/** One that is to be kept current. */
export interface Wanted {
  readonly host: string;
  readonly port: number;
  readonly serverNames: readonly string[];
  readonly tls: ManifestTls;
}

export interface CertificatesOptions {
  /** Text of a secret. @throws Error with the reason */
  readonly secret: (id: string) => Promise<string>;
  readonly events: Pick<EventLog, 'emit'>;
  /** Milliseconds between looks at all of them. Default: five minutes. */
  readonly every?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const EVERY = 300_000;
const MOST_BYTES = 256 * 1024;

interface Kept {
  certificate?: Certificate;
  /** What was wrong the last time: it is said once. */
  problem?: string;
}

export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #kept = new Map<Wanted, Kept>();
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #closed = false;

  constructor(options: CertificatesOptions, wanted: readonly Wanted[]) {
    this.#options = options;
    for (const one of wanted) this.#kept.set(one, {});
  }

  /** Reads them for the first time. @param onRead after each time that they have been read */
  start(onRead: () => void): void {
    if (this.#kept.size === 0) return;
    const again = () => void this.reload().then(() => this.#closed || onRead());
    this.#timer = setInterval(again, this.#options.every ?? EVERY).unref();
    again();
  }

  /** Of that one, if there is one that is valid now; or why there is none. */
  of(wanted: Wanted): Certificate | string {
    const { certificate, problem } = this.#kept.get(wanted) ?? {};
    if (!certificate)
      return problem === undefined ? 'the certificate is not read yet' : 'there is no valid certificate';
    return certificate.notAfter < this.#now() ? 'the certificate has expired' : certificate;
  }

  /** Reads all of them. One that cannot be used is reported, and the one before it stays. */
  reload(): Promise<void> {
    this.#reading ??= Promise.all([...this.#kept].map(([wanted, kept]) => this.#read(wanted, kept))).then(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #read(wanted: Wanted, kept: Kept): Promise<void> {
    const { host, port, serverNames, tls } = wanted;
    const { events } = this.#options;
    try {
      const certificate = certificateOf(await this.#pem(tls), serverNames, this.#now());
      kept.problem = undefined;
      // What clients have resumed so far they resume with the same one.
      if (certificate.fingerprint === kept.certificate?.fingerprint) return;
      kept.certificate = certificate;
      const { fingerprint, notAfter } = certificate;
      if (!this.#closed)
        events.emit(host, 'certificate-loaded', { port, fingerprint, expires: new Date(notAfter).toISOString() });
    } catch (error) {
      const reason = `${sourceOf(tls)}: ${(error as Error).message}`;
      if (reason === kept.problem || this.#closed) return;
      kept.problem = reason;
      events.emit(host, 'certificate-failed', { port, reason });
    }
  }

  async #pem(tls: ManifestTls): Promise<Pem> {
    if ('secret' in tls) return parseSecret(await this.#options.secret(tls.secret));
    const [certificate, key] = await Promise.all([textOf(tls.certificateFile), textOf(tls.keyFile)]);
    return parsePem(certificate, key);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

const sourceOf = (tls: ManifestTls) =>
  'secret' in tls ? `secret ${tls.secret}` : `files ${tls.certificateFile} and ${tls.keyFile}`;

/** @throws Error with the reason */
async function textOf(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MOST_BYTES), 0, MOST_BYTES, 0);
    if (bytesRead === MOST_BYTES) throw new Error(`${path} has more than ${MOST_BYTES - 1} bytes`);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
