/** `up --tls-cert --tls-key`: which ports get the files, and what is refused before anything boots. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Manifest, parseManifest } from '../../../src/contract/manifest';
import { withCertificates } from '../../../src/local/platform/local-certificates';
import { type CertificateFiles, makeCertificate } from '../../support/certificates';

let folder: string;
let [web, old]: CertificateFiles[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-local-certificates-'));
  web = makeCertificate(folder, ['web.test']);
  old = makeCertificate(folder, ['old.test'], { expired: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

function manifestWith(...tls: unknown[]): Manifest {
  return parseManifest({
    version: 1,
    cluster: { name: 'shop', cidr: '100.64.0.0/16' },
    seed: {},
    hosts: [{ name: 'web', functionName: 'shop-web', address: '100.64.1.1', command: ['x'] }],
    exposes: tls.map((one, i) => ({ host: 'web', port: 8_000 + i, ...(one ? { tls: one } : {}) })),
  });
}
const flags = ({ certificateFile: tlsCert, keyFile: tlsKey }: CertificateFiles) => ({ tlsCert, tlsKey });

test('files take the place of secrets and of other files; a port without a certificate stays as it is', () => {
  const manifest = manifestWith({ secret: 'web-8000' }, undefined, old);
  expect(withCertificates(manifest, flags(web)).exposes?.map(({ tls }) => tls)).toEqual([web, undefined, web]);
});

test('without flags, files of the manifest stay, and a secret is refused', () => {
  const manifest = manifestWith(web, undefined);
  expect(withCertificates(manifest, {})).toBe(manifest);
  expect(() => withCertificates(manifestWith({ secret: 'web-8000' }), {})).toThrow(
    "port 8000 of host 'web' has its certificate from a secret, which this machine does not have",
  );
});

test.each<[string, () => Parameters<typeof withCertificates>[1], string]>([
  ['no key', () => ({ tlsCert: web.certificateFile }), '--tls-cert is given without --tls-key'],
  ['no certificate', () => ({ tlsKey: web.keyFile }), '--tls-key is given without --tls-cert'],
  ['a file that is not there', () => ({ ...flags(web), tlsKey: '/absent' }), "--tls-key is '/absent': ENOENT"],
  ['the key of another', () => ({ ...flags(web), tlsKey: old.keyFile }), "the private key is not the certificate's"],
  ['one that has expired', () => flags(old), 'the certificate has expired at'],
])('%s is refused', (_, options, message) => {
  expect(() => withCertificates(manifestWith(web), options())).toThrow(message);
});

test('files for a cluster that ends TLS nowhere are refused', () => {
  expect(() => withCertificates(manifestWith(undefined), flags(web))).toThrow('no exposed port');
});

test.each([
  [{ secret: '' }],
  [{ secret: 'x', keyFile: '/x' }],
  [{ certificateFile: '/x' }],
  [{ certificateFile: 'relative', keyFile: '/x' }],
  ['x'],
])('a manifest with tls %j is refused', (tls) => {
  expect(() => manifestWith(tls)).toThrow(/exposes\.0\.tls/);
});
