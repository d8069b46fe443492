import { Token } from 'aws-cdk-lib';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';

/** Where the seed has the certificate of an exposed port from, at which it ends TLS. */
export class IngressTls {
  /**
   * A secret of Secrets Manager. Its text is JSON with the fields `certificate` (the chain in PEM, the server's own certificate first)
   * and `privateKey` (PEM, without a passphrase), or PEM blocks of both. The seed may read it, and does so every five minutes: a new
   * value is served without a restart.
   *
   * @param secret the secret
   */
  public static fromSecret(secret: secretsmanager.ISecret): IngressTls {
    if (typeof secret?.secretArn !== 'string')
      throw new Error('the secret of a certificate is missing; allowed: a secretsmanager.ISecret');
    return new IngressTls(secret, undefined);
  }

  /**
   * Files on the seed, for one that is yours to write to: a seed's instance has none by itself. They are read every five minutes.
   *
   * @param certificateFile an absolute path: the chain in PEM, the server's own certificate first
   * @param keyFile an absolute path: its private key in PEM, without a passphrase. May be the same file
   */
  public static fromFiles(certificateFile: string, keyFile: string): IngressTls {
    for (const [name, value] of Object.entries({ certificateFile, keyFile })) {
      if (Token.isUnresolved(value))
        throw new Error(`${name} is known only at deployment; give it as a literal string`);
      if (typeof value !== 'string' || !value.startsWith('/'))
        throw new Error(`${name} is ${JSON.stringify(value)}; allowed: an absolute path`);
    }
    return new IngressTls(undefined, { certificateFile, keyFile });
  }

  private constructor(
    /**
     * What the seed needs to read.
     *
     * @internal
     */
    public readonly _secret: secretsmanager.ISecret | undefined,
    /**
     * Where it is instead.
     *
     * @internal
     */
    public readonly _files: { readonly certificateFile: string; readonly keyFile: string } | undefined,
  ) {}
}
