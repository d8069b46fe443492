/** A bundle of its own: only a command that needs a secret loads the SDK. */
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';

/** The text of a secret, read with the standard credentials of the machine. @throws the SDK's errors */
export async function secretValue(arn: string, region: string): Promise<string> {
  const client = new SecretsManagerClient({ region });
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: arn }));
    if (SecretString === undefined) throw new Error('the secret holds no text');
    return SecretString;
  } finally {
    client.destroy();
  }
}
