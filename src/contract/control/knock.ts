import { createHash } from 'node:crypto';

/**
 * What the seed says when it knocks. The member that asks for it chooses the secret, but not these bytes: whatever else is
 * at its address is not sent a message of the member's.
 */
export function knockOf(secret: string): Buffer {
  return createHash('sha256').update(`imaginary knock ${secret}`).digest();
}
