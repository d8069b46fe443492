/** A cluster that no state directory of this machine is of: on AWS, say. Where its seed is, and what proves who joins. */
import { readFile } from 'node:fs/promises';
import { CLIENT_IDENTITY, joinSecret, parseClusterKeys } from '../../contract/control/psk';
import type { ClientOptions } from '../../runtime/supervisor/client/client';
import { CliError, usageError } from '../output/errors';
import { builtFolders, type ClientAccess } from './client';

export interface RemoteOptions {
  /** `address:port` */
  readonly seed?: string;
  readonly standby?: string;
  readonly cluster?: string;
  readonly key?: string;
}

/** `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME` */
const SECRET_ARN = /^arn:[a-z-]+:secretsmanager:([a-z0-9-]+):\d{12}:secret:\S+$/;
const SOURCES =
  "a file, 'env:NAME' for a variable, or the ARN of a secret of AWS Secrets Manager (cluster.clusterKey.secretArn)";

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
  const key = await clusterKey(options.key);
  // A seed may give the cluster's name with its greeting. A seed sends later secrets itself when the key is replaced.
  const secret = (named?: string) => {
    const name = cluster ?? named;
    if (name === undefined) throw usageError('--cluster is missing', 'Name the cluster: --cluster NAME');
    return joinSecret(key, name, CLIENT_IDENTITY);
  };
  return { seed, standby, secret: secret satisfies ClientOptions['secret'], ...builtFolders() };
}

/** The newest cluster key. @throws CliError */
export async function clusterKey(source: string | undefined): Promise<Uint8Array> {
  const next = `Allowed: ${SOURCES}.`;
  if (source === undefined) throw usageError('--key is missing', next);
  const [, region] = SECRET_ARN.exec(source) ?? [];
  if (region === undefined && source.startsWith('arn:')) {
    throw usageError(`--key is '${source}', which is no ARN of a secret`, next);
  }
  try {
    return parseClusterKeys(await textOf(source, region))[0];
  } catch (error) {
    throw new CliError('key', `--key is '${source}': ${(error as Error).message}`, { next, cause: error });
  }
}

async function textOf(source: string, region: string | undefined): Promise<string> {
  if (region !== undefined) return (await import('./secret-value.js')).secretValue(source, region);
  const [, variable] = /^env:(.*)$/.exec(source) ?? [];
  if (variable === undefined) return readFile(source, 'utf8');
  const value = process.env[variable];
  if (value === undefined) throw new Error(`the variable ${variable} is not set`);
  return value;
}
