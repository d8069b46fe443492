/** A cluster that no state directory of this machine is of: on AWS, say. Where its seed is, and what proves who joins. */
import { CLIENT_IDENTITY, joinSecret } from '../../contract/control/psk';
import type { ClientOptions } from '../../runtime/supervisor/client/client';
import { usageError } from '../output/errors';
import { builtFolders, type ClientAccess } from './client';
import { clusterKeySource } from './cluster-key';

export interface RemoteOptions {
  /** `address:port` */
  readonly seed?: string;
  readonly standby?: string;
  readonly cluster?: string;
  readonly key?: string;
}

/** Undefined: the options name none. @throws CliError for options that do not belong together, and without a key */
export async function remoteCluster(
  options: RemoteOptions & { readonly state?: string },
): Promise<ClientAccess | undefined> {
  const { seed, standby, state, cluster } = options;
  if (seed === undefined) {
    for (const flag of ['key', 'standby', 'cluster'] as const) {
      if (options[flag] !== undefined) throw usageError(`--${flag} is given without --seed`, 'Where is the cluster?');
    }
    return undefined;
  }
  if (state !== undefined) {
    throw usageError('--state is given beside --seed', 'One of them says which cluster is meant.');
  }
  const key = await clusterKeySource(options.key)();
  // A seed may give the cluster's name with its greeting. A seed sends later secrets itself when the key is replaced.
  const secret = (named?: string) => {
    const name = cluster ?? named;
    if (name === undefined) throw usageError('--cluster is missing', 'Name the cluster: --cluster NAME');
    return joinSecret(key, name, CLIENT_IDENTITY);
  };
  return { seed, standby, secret: secret satisfies ClientOptions['secret'], ...builtFolders() };
}
