/** Checks AWS Signature Version 4, so that nobody but who was given the platform's credentials can invoke its functions. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface Credentials {
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
/** How far a request's time may be from ours. */
const TOLERANCE = 5 * 60_000;

export function checkSignature(
  request: IncomingMessage,
  body: Uint8Array,
  { accessKeyId, secretAccessKey }: Credentials,
): SignatureProblem | undefined {
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
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical(request, body, signed))].join('\n');
  const signingKey = [day, region, service, 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  if (timingSafeEqual(hmac(signingKey, text), Buffer.from(signature, 'hex'))) return undefined;
  return {
    type: 'InvalidSignatureException',
    message: 'The request signature we calculated does not match the signature you provided.',
  };
}

function canonical(request: IncomingMessage, body: Uint8Array, signed: string): string {
  const [path, query = ''] = (request.url ?? '').split('?');
  const headers = signed.split(';').map((name) => `${name}:${headerText(request, name)}\n`);
  return [
    request.method,
    path.split('/').map(encode).join('/'),
    query.split('&').sort().join('&'),
    headers.join(''),
    signed,
    sha256(body),
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
