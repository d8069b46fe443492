/** A cluster that no state directory of this machine is of: on AWS, say. Where its seed is, and what proves who joins. */
import { CLIENT_IDENTITY, joinSecret } from '../../contract/control/psk';
import { usageError } from '../output/errors';
import { builtFolders, type ClientAccess } from './client';
import { clusterKeySource } from './cluster-key';

export interface RemoteOptions {
  /** `address:port` */
  readonly seed?: string;
  readonly standby?: string;
  readonly key?: string;
}

/** Undefined: the options name none. @throws CliError for options that do not belong together, and without a key */
export async function remoteCluster(
  options: RemoteOptions & { readonly state?: string },
): Promise<ClientAccess | undefined> {
  const { seed, standby, state } = options;
  if (seed === undefined) {
    for (const flag of ['key', 'standby'] as const) {
      if (options[flag] !== undefined) throw usageError(`--${flag} is given without --seed`, 'Where is the cluster?');
    }
    return undefined;
  }
  if (state !== undefined) {
    throw usageError('--state is given beside --seed', 'One of them says which cluster is meant.');
  }
  const key = await clusterKeySource(options.key)();
  // A seed names its cluster with its greeting, and sends later secrets itself when the key is replaced.
  const secret = (cluster: string | undefined) => {
    if (cluster === undefined) throw new Error('it does not say which cluster it is of');
    return joinSecret(key, cluster, CLIENT_IDENTITY);
  };
  return { seed, standby, secret, ...builtFolders() };
}
