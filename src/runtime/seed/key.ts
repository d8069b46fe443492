import { readFile } from 'node:fs/promises';
import { parseClusterKey } from '../protocol/psk';
import { FlagError, type SeedFlags } from './flags';

/** Reads the cluster key from where the flags say. @throws FlagError */
export async function loadClusterKey(source: SeedFlags['key'], region: string | undefined): Promise<Uint8Array> {
  const flag = 'file' in source ? `--key-file is '${source.file}'` : `--key-secret is '${source.secret}'`;
  try {
    return parseClusterKey(
      'file' in source ? await readFile(source.file, 'utf8') : await secretText(source.secret, region),
    );
  } catch (error) {
    throw new FlagError(`${flag}: ${(error as Error).message}`);
  }
}

async function secretText(id: string, region: string | undefined): Promise<string> {
  // Loaded only here: a seed whose key is a file never needs it.
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const client = new SecretsManagerClient({ region });
  const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: id }));
  client.destroy();
  if (SecretString === undefined) throw new Error('the secret holds no text');
  return SecretString;
}
