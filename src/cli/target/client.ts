/** What it takes to join a running cluster as a client: for `exec` and `forward`. */
import { CLIENT_IDENTITY } from '../../contract/control/psk';
import type { ClientOptions } from '../../runtime/supervisor/client/client';
import { packageFile } from '../package';
import { type RunningCluster, secretFor } from './state';

export type ClientAccess = Pick<ClientOptions, 'seed' | 'standby' | 'secret' | 'flat' | 'nativeDir' | 'shimDir'>;

export function clientOf(cluster: RunningCluster): ClientAccess {
  return {
    seed: cluster.seed,
    standby: cluster.standby,
    secret: () => secretFor(cluster, CLIENT_IDENTITY),
    flat: cluster.network.kind === 'flat' ? cluster.network.number : undefined,
    ...builtFolders(),
  };
}

/** The bundle lies elsewhere than the addon and the shims, which are in the layers. */
export function builtFolders(): Pick<ClientOptions, 'nativeDir' | 'shimDir'> {
  if (__filename.endsWith('.ts')) return {};
  const arch = process.arch === 'arm64' ? 'arm64' : 'x86_64';
  return {
    nativeDir: packageFile('lambda-layers', 'supervisor', arch, 'imaginary'),
    shimDir: packageFile('lambda-layers', 'shim', arch, 'imaginary'),
  };
}
