/** A certificate and its private key, as text, and what has to be true of them before a client sees them. */
import { constants, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

export interface Pem {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface Certificate {
  readonly context: SecureContext;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
  /** SHA-256 of the server's own certificate. */
  readonly fingerprint: string;
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[^-]*-----END (?:[A-Z]+ )?PRIVATE KEY-----/;
const FIELDS = ['certificate', 'privateKey'] as const;

/** A secret's text: JSON with `certificate` and `privateKey`, or PEM blocks of both. @throws Error: what is missing */
export function parseSecret(text: string): Pem {
  if (!text.trimStart().startsWith('{')) return parsePem(text, text);
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(text);
  } catch {
    // What the parser says would quote the private key.
    throw new Error('the secret begins as JSON and is none');
  }
  const [certificate, privateKey] = FIELDS.map((name) => {
    const value = fields[name];
    if (typeof value !== 'string') throw new Error(`the secret's JSON has no field '${name}' with a PEM text`);
    return value;
  });
  return parsePem(certificate, privateKey);
}

/** @throws Error: what is missing */
export function parsePem(certificate: string, privateKey: string): Pem {
  const chain = certificate.match(CERTIFICATES);
  if (!chain) throw new Error('there is no PEM block CERTIFICATE');
  const key = PRIVATE_KEY.exec(privateKey)?.[0];
  if (!key) throw new Error('there is no PEM block PRIVATE KEY');
  if (key.startsWith('-----BEGIN ENCRYPTED'))
    throw new Error('the private key is encrypted; give it without a passphrase');
  return { certificate: chain.join('\n'), privateKey: key };
}

/**
 * @param serverNames those that clients ask for
 * @param now milliseconds since 1970
 * @throws Error with the reason why clients would not be served, or would not trust it
 */
export function certificateOf(pem: Pem, serverNames: readonly string[], now: number): Certificate {
  const own = parsed('the certificate', () => new X509Certificate(pem.certificate));
  const key: KeyObject = parsed('the private key', () => createPrivateKey(pem.privateKey));
  if (!own.checkPrivateKey(key)) throw new Error("the private key is not the certificate's");
  const [notBefore, notAfter] = [own.validFrom, own.validTo].map((text) => Date.parse(text));
  if (now > notAfter) throw new Error(`the certificate has expired at ${iso(notAfter)}`);
  if (now < notBefore) throw new Error(`the certificate is valid from ${iso(notBefore)} on only`);
  const other = serverNames.find((name) => !own.checkHost(name.replace(/^\*\./, 'any.')));
  if (other !== undefined) {
    const names = own.subjectAltName ?? own.subject;
    throw new Error(`the certificate is not for server name '${other}', but for ${names.replaceAll('\n', ', ')}`);
  }
  const context = parsed('the certificate', () =>
    createSecureContext({
      cert: pem.certificate,
      key: pem.privateKey,
      minVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    }),
  );
  return { context, notAfter, fingerprint: own.fingerprint256 };
}

function parsed<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${what} cannot be used: ${(error as Error).message}`);
  }
}

const iso = (time: number) => new Date(time).toISOString();
