/** Certificates of exposed ports: what is taken, what is refused and why, and what reading again changes. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificateOf, parseSecret } from '../../../../../src/runtime/seed/ingress/tls/certificate';
import { Certificates, type Wanted } from '../../../../../src/runtime/seed/ingress/tls/certificates';
import { type CertificateFiles, makeCertificate } from '../../../../support/certificates';

let folder: string;
let [web, old]: CertificateFiles[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'imaginary-certificates-'));
  web = makeCertificate(folder, ['web.test', '*.web.test']);
  old = makeCertificate(folder, ['old.test'], { expired: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

const pemOf = ({ certificateFile, keyFile }: CertificateFiles) => ({
  certificate: readFileSync(certificateFile, 'utf8'),
  privateKey: readFileSync(keyFile, 'utf8'),
});
const DAY = 86_400_000;

test('a secret is JSON with two fields, or one PEM text in any order', () => {
  const { certificate, privateKey } = pemOf(web);
  const [trimmed, key] = [certificate.trim(), privateKey.trim()];
  const parsed = { certificate: trimmed, privateKey: key };
  expect(parseSecret(JSON.stringify({ certificate, privateKey, more: 1 }))).toEqual(parsed);
  expect(parseSecret(`${certificate}${privateKey}`)).toEqual(parsed);
  expect(parseSecret(`${privateKey}notes\n${certificate}`)).toEqual(parsed);
  expect(parseSecret(`${certificate}${certificate}${privateKey}`).certificate.match(/BEGIN/g)).toHaveLength(2);
});

test.each<[string, () => string, string]>([
  ['no JSON', () => '{"certificate": -----', 'the secret begins as JSON and is none'],
  ['no certificate', () => '{"privateKey": "x"}', "the secret's JSON has no field 'certificate' with a PEM text"],
  ['no key', () => JSON.stringify({ certificate: pemOf(web).certificate }), "no field 'privateKey' with a PEM text"],
  ['no PEM', () => 'hello', 'there is no PEM block CERTIFICATE'],
  ['PEM without a key', () => pemOf(web).certificate, 'there is no PEM block PRIVATE KEY'],
  [
    'an encrypted key',
    () => pemOf(web).certificate + pemOf(web).privateKey.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY'),
    'the private key is encrypted; give it without a passphrase',
  ],
])('a secret with %s is refused, without its text', (_, text, message) => {
  expect(() => parseSecret(text())).toThrow(message);
});

test.each<[string, () => unknown, string | RegExp]>([
  [
    'is of another key',
    () => certificateOf({ ...pemOf(web), privateKey: pemOf(old).privateKey }, [], Date.now()),
    "the private key is not the certificate's",
  ],
  ['has expired', () => certificateOf(pemOf(old), [], Date.now()), /^the certificate has expired at 20/],
  [
    'is not valid yet',
    () => certificateOf(pemOf(web), [], Date.now() - 9 * DAY),
    /^the certificate is valid from 20.* on only$/,
  ],
  [
    'has another name',
    () => certificateOf(pemOf(web), ['web.test', 'a.test'], Date.now()),
    "the certificate is not for server name 'a.test', but for DNS:web.test, DNS:*.web.test",
  ],
  [
    'is for one name and not for all below',
    () => certificateOf(pemOf(web), ['*.b.web.test'], Date.now()),
    "not for server name '*.b.web.test'",
  ],
  [
    'is garbage',
    () =>
      certificateOf(
        { ...pemOf(web), certificate: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' },
        [],
        Date.now(),
      ),
    'the certificate cannot be used',
  ],
  [
    'has a key that is garbage',
    () =>
      certificateOf(
        { ...pemOf(web), privateKey: '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----' },
        [],
        Date.now(),
      ),
    'the private key cannot be used',
  ],
])('a certificate that %s is refused', (_, make, message) => {
  expect(make).toThrow(message);
});

test('names and wildcards that a certificate has are taken', () => {
  expect(certificateOf(pemOf(web), ['web.test', 'a.web.test', '*.web.test'], Date.now()).notAfter).toBeGreaterThan(
    Date.now(),
  );
});

describe('reading again', () => {
  const events: Array<readonly [string, string]> = [];
  let now: number;
  let text: string | Error;
  let certificates: Certificates;
  const secret: Wanted = { host: 'web', port: 443, serverNames: [], tls: { secret: 'web-443' } };
  beforeEach(() => {
    events.length = 0;
    now = Date.now();
    text = JSON.stringify(pemOf(web));
    certificates = new Certificates(
      {
        secret: async () => {
          if (text instanceof Error) throw text;
          return text;
        },
        events: { emit: (_host, event, detail) => void events.push([event, String(detail?.reason ?? detail?.port)]) },
        now: () => now,
      },
      [secret],
    );
  });
  afterEach(() => certificates.close());

  test('the same one is no news; what fails is said once, and the one before it stays until it expires', async () => {
    expect(certificates.of(secret)).toBe('the certificate is not read yet');
    await certificates.reload();
    await certificates.reload();
    const first = certificates.of(secret);
    text = new Error('no such secret');
    await certificates.reload();
    await certificates.reload();
    expect(certificates.of(secret)).toBe(first);
    expect(events).toEqual([
      ['certificate-loaded', '443'],
      ['certificate-failed', 'secret web-443: no such secret'],
    ]);
    now += 3 * DAY;
    expect(certificates.of(secret)).toBe('the certificate has expired');
  });

  test('there was none, and then there is one', async () => {
    text = 'nothing';
    const read = new Promise<void>((resolve) => certificates.start(resolve));
    await read;
    expect(certificates.of(secret)).toBe('there is no valid certificate');
    text = JSON.stringify(pemOf(web));
    await certificates.reload();
    expect(certificates.of(secret)).toMatchObject({ fingerprint: expect.any(String) });
  });

  test('a file that is too large is not read', async () => {
    const certificateFile = join(folder, 'large.pem');
    writeFileSync(certificateFile, Buffer.alloc(300_000, 'x'));
    const files = { ...secret, tls: { certificateFile, keyFile: web.keyFile } };
    const emit = (_host: unknown, _event: string, detail: Record<string, unknown>) =>
      void events.push(['', String(detail.reason)]);
    const all = new Certificates({ secret: async () => '', events: { emit } as never }, [files]);
    await all.reload();
    expect(events[0][1]).toMatch(/large.pem has more than \d+ bytes$/);
    copyFileSync(web.certificateFile, certificateFile);
    await all.reload();
    expect(all.of(files)).toMatchObject({ fingerprint: expect.any(String) });
  });
});
