/** Where a command that works without a state directory has the cluster key from. */
import { readFile } from 'node:fs/promises';
import { parseClusterKeys } from '../../contract/control/psk';
import { CLUSTER_KEY_ENV } from '../../runtime/supervisor/guest/environment';
import { CliError, usageError } from '../output/errors';

/** `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME` */
const SECRET_ARN = /^arn:[a-z-]+:secretsmanager:([a-z0-9-]+):\d{12}:secret:\S+$/;

export const KEY_RULE =
  "a file, 'env:NAME' for a variable, or the ARN of a secret of AWS Secrets Manager (cluster.clusterKey.secretArn)";

/**
 * What reads the newest cluster key, again with each call: it may be replaced meanwhile.
 * @param given the value of `--key`; undefined: the variable IMAGINARY_KEY
 * @throws CliError for a value that names no source
 */
export function clusterKeySource(given: string | undefined): () => Promise<Uint8Array> {
  const [, variable] = /^env:(.*)$/.exec(given ?? `env:${CLUSTER_KEY_ENV}`) ?? [];
  if (given === undefined && process.env[CLUSTER_KEY_ENV] === undefined) {
    throw usageError(`--key is missing, and ${CLUSTER_KEY_ENV} is not set`, `Allowed: ${KEY_RULE}.`);
  }
  const what = given === undefined ? CLUSTER_KEY_ENV : `--key is '${given}'`;
  const read = (text: () => Promise<string>) => async () => {
    try {
      return parseClusterKeys(await text())[0];
    } catch (error) {
      const next = `Allowed: ${KEY_RULE}.`;
      throw new CliError('key', `${what}: ${(error as Error).message}`, { next, cause: error });
    }
  };
  if (variable !== undefined) {
    return read(async () => {
      const value = process.env[variable];
      if (value === undefined) throw new Error(`the variable ${variable} is not set`);
      return value;
    });
  }
  const [, region] = SECRET_ARN.exec(given!) ?? [];
  if (region === undefined && /^arn:/.test(given!))
    throw usageError(`${what}, which is no ARN of a secret`, `Allowed: ${KEY_RULE}.`);
  if (region === undefined) return read(() => readFile(given!, 'utf8'));
  return read(async () => (await import('./secret-value.js')).secretValue(given!, region));
}
