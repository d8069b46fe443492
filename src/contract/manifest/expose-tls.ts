/** Where the certificate of an exposed port is, at which the seed ends TLS. */
import * as v from 'valibot';

export const FILE_RULE = 'an absolute path';
const file = v.pipe(v.string(FILE_RULE), v.regex(/^\//, FILE_RULE));
const SECRET_RULE = "a secret's ARN or name";

export const TLS_RULE = '{ secret }, or { certificateFile, keyFile } with absolute paths';

/** The seed reads either of them again every five minutes. */
export const tlsSchema = v.union(
  [
    /**
     * Of AWS Secrets Manager: its text is `{"certificate": PEM, "privateKey": PEM}`, or PEM blocks of both. An ARN, a
     * name, or what the seed is told in `--tls-secret` to mean one.
     */
    v.strictObject({ secret: v.pipe(v.string(SECRET_RULE), v.minLength(1, SECRET_RULE)) }),
    /** At the seed, in PEM: the chain, the server's own certificate first, and its private key. May be the same file. */
    v.strictObject({ certificateFile: file, keyFile: file }),
  ],
  TLS_RULE,
);

export type ManifestTls = Readonly<v.InferOutput<typeof tlsSchema>>;
