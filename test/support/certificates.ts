/** Certificates that tests make themselves: self-signed, so each one is its own authority. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

export function makeCertificate(
  folder: string,
  names: readonly string[],
  { expired = false, as = names[0] }: { readonly expired?: boolean; readonly as?: string } = {},
): CertificateFiles {
  const at = (suffix: string) => join(folder, `${as.replace('*', 'any')}.${suffix}`);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = ['-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-keyout', at('key')];
  openssl('req', '-new', ...key, '-subj', `/CN=${as}`, '-out', at('csr'));
  writeFileSync(at('ext'), `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}\n`);
  const days = expired ? '-1' : '2';
  const signed = ['-signkey', at('key'), '-days', days, '-extfile', at('ext'), '-out', at('pem')];
  openssl('x509', '-req', '-in', at('csr'), ...signed);
  return { certificateFile: at('pem'), keyFile: at('key') };
}
