/** Lambda's quotas, as its documentation and its error messages have them. Bytes and milliseconds. */
export const LIMITS = {
  /** Body of a `RequestResponse` invocation. */
  request: 6 * 1024 * 1024,
  /** Body of an `Event` invocation (since October 2025). */
  event: 1024 * 1024,
  /** What a function answers. */
  response: 6 * 1024 * 1024 + 100,
  /** The init phase of a cold start. */
  init: 10_000,
  /** Concurrent invocations of an account. */
  concurrency: 1_000,
  /** Sandboxes of a function with tenant isolation, busy or idle, for each concurrent invocation that it may have. */
  tenantSandboxes: 2.5,
  /** Characters of a tenant id. */
  tenantId: 256,
  /** What `X-Amz-Log-Type: Tail` gives back. */
  logTail: 4 * 1024,
} as const;

export const REGION = 'us-east-1';
const ACCOUNT = '123456789012';

export function functionArn(name: string): string {
  return `arn:aws:lambda:${REGION}:${ACCOUNT}:function:${name}`;
}
