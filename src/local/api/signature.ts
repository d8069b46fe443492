/** Checks AWS Signature Version 4, so that only a program with the platform's credentials can invoke its functions. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface Credentials {
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** What is wrong with a request's signature, in Lambda's words; undefined: it is right. */
export interface SignatureProblem {
  readonly type: string;
  readonly message: string;
}

const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;
/** `x-amzn-trace-id` need not be: no client signs it. */
const MUST_BE_SIGNED = /^(host|x-amz-.+)$/;
/** How far a request's time may be from ours. */
const TOLERANCE = 5 * 60_000;

/** What a request says of itself before its body is there. */
export type Head =
  | { readonly problem: SignatureProblem }
  /** Whoever sent it knows the key's id. */
  | { readonly problem?: undefined; check(body: Uint8Array): SignatureProblem | undefined };

/** Whatever can be found wrong without the body is. */
export function checkHead(request: IncomingMessage, credentials: Credentials, service = 'lambda'): Head {
  const parts = readHead(request, credentials, service);
  if ('type' in parts) return { problem: parts };
  const given = request.headers['x-amz-content-sha256'];
  const check = (hash: string) => checkSignature(request, hash, parts, credentials);
  // Where the headers have the body's hash, the signature is checked at once.
  const problem = typeof given === 'string' ? check(given) : undefined;
  if (problem) return { problem };
  return { check: (body) => (given !== undefined && sha256(body) !== given ? MISMATCH : check(sha256(body))) };
}

interface Parts {
  readonly time: string;
  readonly scope: readonly string[];
  readonly signed: string;
  readonly signature: string;
}

const MISMATCH: SignatureProblem = {
  type: 'InvalidSignatureException',
  message: 'The request signature we calculated does not match the signature you provided.',
};

function readHead(
  request: IncomingMessage,
  { accessKeyId, region: ours }: Credentials,
  own: string,
): Parts | SignatureProblem {
  const authorization = request.headers.authorization;
  if (!authorization) return { type: 'MissingAuthenticationTokenException', message: 'Missing Authentication Token' };
  const match = FORM.exec(authorization);
  if (!match)
    return { type: 'IncompleteSignatureException', message: 'Authorization header is not of Signature Version 4' };
  const [, key, day, region, service, signed, signature] = match;
  if (key !== accessKeyId) {
    return { type: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' };
  }
  const time = String(request.headers['x-amz-date'] ?? '');
  if (!time.startsWith(day) || !(Math.abs(Date.now() - parseTime(time)) <= TOLERANCE)) {
    return { type: 'InvalidSignatureException', message: `Signature expired or not yet current: ${time}` };
  }
  if (region !== ours || service !== own) {
    const message = `Credential should be scoped to ${ours}/${own}, not to ${region}/${service}`;
    return { type: 'InvalidSignatureException', message };
  }
  const names = new Set(signed.split(';'));
  const missing = ['host', ...Object.keys(request.headers)].find(
    (name) => MUST_BE_SIGNED.test(name) && !names.has(name),
  );
  if (missing) {
    return { type: 'InvalidSignatureException', message: `Header '${missing}' must be signed (SignedHeaders)` };
  }
  return { time, scope: [day, region, service, 'aws4_request'], signed, signature };
}

function checkSignature(
  request: IncomingMessage,
  bodyHash: string,
  { time, scope, signed, signature }: Parts,
  { secretAccessKey }: Credentials,
): SignatureProblem | undefined {
  const hash = sha256(canonical(request, bodyHash, signed));
  const text = ['AWS4-HMAC-SHA256', time, scope.join('/'), hash].join('\n');
  const signingKey = scope.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  return timingSafeEqual(hmac(signingKey, text), Buffer.from(signature, 'hex')) ? undefined : MISMATCH;
}

function canonical(request: IncomingMessage, bodyHash: string, signed: string): string {
  const [path, query = ''] = (request.url ?? '').split('?');
  const headers = signed.split(';').map((name) => `${name}:${headerText(request, name)}\n`);
  return [
    request.method,
    path.split('/').map(encode).join('/'),
    query.split('&').sort().join('&'),
    headers.join(''),
    signed,
    bodyHash,
  ].join('\n');
}

function headerText(request: IncomingMessage, name: string): string {
  return String(request.headers[name] ?? '')
    .trim()
    .replace(/ +/g, ' ');
}

/** The path is encoded a second time, as for every service but S3. */
function encode(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function parseTime(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) return Number.NaN;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();
