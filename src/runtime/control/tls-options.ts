import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';

/**
 * TLS 1.2 with pre-shared keys and ephemeral Diffie-Hellman (forward secrecy): what node:tls offers for keys without
 * certificates. One authenticated cipher, and one that every OpenSSL has.
 */
export function pskOptions(): SecureContextOptions & { ALPNProtocols: string[] } {
  return {
    ciphers: 'ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256',
    ecdhCurve: 'X25519:P-256',
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    // In TLS 1.2 a session ticket is sent in clear and holds the connection's secret under a key that the server keeps:
    // a thief of that key could decrypt recorded connections later.
    secureOptions: constants.SSL_OP_NO_TICKET,
    // Without this, the first connection of a process parses all root certificates, which nobody here uses.
    ca: [],
    ALPNProtocols: ['imaginary/1'],
  };
}

let context: SecureContext | undefined;

/** The same as a context, made once: one costs as much as half a handshake. */
export function pskContext(): SecureContext {
  context ??= createSecureContext(pskOptions());
  return context;
}
