/** Text of a secret of AWS Secrets Manager, as it is now. @throws Error with the reason */
export async function readSecret(id: string, region: string | undefined): Promise<string> {
  // Loaded only here: most seeds have no certificates.
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const client = new SecretsManagerClient({ region });
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: id }));
    if (SecretString === undefined) throw new Error('it holds no text');
    return SecretString;
  } finally {
    client.destroy();
  }
}
