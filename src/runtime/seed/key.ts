import { readFile } from 'node:fs/promises';
import { parseClusterKeys } from '../../contract/control/psk';
import { FlagError, type SeedFlags } from './flags';

/**
 * In Secrets Manager a new value leaves the one before in place, as the version AWSPREVIOUS. It is accepted for this
 * long after the new one came: each running host has a secret made from the new one by then.
 */
const OVERLAP = 3_600_000;

/** Reads the cluster keys from where the flags say, the newest first. @throws FlagError */
export async function loadClusterKeys(
  source: SeedFlags['key'],
  region: string | undefined,
): Promise<readonly Uint8Array[]> {
  const flag = 'file' in source ? `--key-file is '${source.file}'` : `--key-secret is '${source.secret}'`;
  try {
    if ('file' in source) return parseClusterKeys(await readFile(source.file, 'utf8'));
    return await keysOfSecret(source.secret, region);
  } catch (error) {
    throw new FlagError(`${flag}: ${(error as Error).message}`);
  }
}

async function keysOfSecret(id: string, region: string | undefined): Promise<readonly Uint8Array[]> {
  // Loaded only here: a seed whose key is a file never needs it.
  const { GetSecretValueCommand, ResourceNotFoundException, SecretsManagerClient } = await import(
    '@aws-sdk/client-secrets-manager'
  );
  const client = new SecretsManagerClient({ region });
  const version = async (VersionStage: string) => {
    const { SecretString, CreatedDate } = await client.send(new GetSecretValueCommand({ SecretId: id, VersionStage }));
    if (SecretString === undefined) throw new Error(`its version ${VersionStage} holds no text`);
    return { keys: parseClusterKeys(SecretString), age: Date.now() - (CreatedDate?.getTime() ?? 0) };
  };
  try {
    const current = await version('AWSCURRENT');
    if (current.age > OVERLAP) return current.keys;
    const previous = await version('AWSPREVIOUS').catch((error) => {
      if (error instanceof ResourceNotFoundException) return undefined;
      throw error;
    });
    return [...current.keys, ...(previous?.keys ?? [])];
  } finally {
    client.destroy();
  }
}
