/** Certificates of exposed ports at which the seed ends TLS. This machine has no Secrets Manager: files take its place. */
import { readFileSync } from 'node:fs';
import type { Manifest, ManifestTls } from '../../contract/manifest';
import { certificateOf, parsePem } from '../../runtime/seed/ingress/tls/certificate';
import { LocalError } from '../errors';
import type { PlatformFlags } from '../types';

const NEXT = 'imaginary up --tls-cert FILE --tls-key FILE';

/** The manifest with the files that were given, at each port that has a certificate. @throws LocalError `certificate` */
export function withCertificates(manifest: Manifest, flags: Pick<PlatformFlags, 'tlsCert' | 'tlsKey'>): Manifest {
  const exposes = manifest.exposes ?? [];
  const files = given(flags);
  if (!files) {
    const needy = exposes.find(({ tls }) => tls && 'secret' in tls);
    if (!needy) return manifest;
    const what = `port ${needy.port} of host '${needy.host}' has its certificate from a secret, which this machine does not have`;
    throw new LocalError('certificate', what, NEXT);
  }
  if (!exposes.some(({ tls }) => tls))
    throw new LocalError('certificate', '--tls-cert is given, and no exposed port of the cluster has a certificate');
  return { ...manifest, exposes: exposes.map((one) => (one.tls ? { ...one, tls: files } : one)) };
}

function given({ tlsCert, tlsKey }: Pick<PlatformFlags, 'tlsCert' | 'tlsKey'>): ManifestTls | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    const [one, other] = tlsCert === undefined ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    throw new LocalError('certificate', `${one} is given without ${other}`, NEXT);
  }
  try {
    // Names are the seed's to judge: each of its ports has its own.
    certificateOf(parsePem(readFileSync(tlsCert, 'utf8'), readFileSync(tlsKey, 'utf8')), [], Date.now());
  } catch (error) {
    const what = `--tls-cert is '${tlsCert}', --tls-key is '${tlsKey}': ${(error as Error).message}`;
    throw new LocalError('certificate', what);
  }
  return { certificateFile: tlsCert, keyFile: tlsKey };
}
