import type { SecureContextOptions } from 'node:tls';

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
    // Without this, the first connection of a process parses all root certificates, which nobody here uses.
    ca: [],
    ALPNProtocols: ['imaginary/1'],
  };
}
