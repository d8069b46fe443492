/** What messages between members must look like: checked by the seed that passes them on, and by a member that gets them over a peer link. */
import * as v from 'valibot';
import { type Agreed, address, count, port } from '../control/fields';
import type { MemberMessage } from './peer-messages';

const line = v.pipe(v.string(), v.maxLength(2_000));
/** Connections that one message may be about. */
const MOST_AT_ONCE = 64;
/** Nobody punches from the ports of well-known services, and no NAT maps another port to one of them. */
const punchPort = v.pipe(port, v.minValue(1_024));
const ports = v.pipe(v.array(punchPort), v.minLength(1), v.maxLength(MOST_AT_ONCE));
/** 32 bytes for each connection. */
const secrets = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9+/]{42,}={0,2}$/),
  v.maxLength(4 * Math.ceil((MOST_AT_ONCE * 32) / 3)),
);
const proof = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{43}=$/));
const key = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{43}=$/));
const purpose = v.variant('for', [
  v.strictObject({ for: v.literal('connection'), port, sourcePort: port, proof: v.optional(proof) }),
  v.strictObject({ for: v.literal('pool'), secrets }),
  v.strictObject({ for: v.literal('signalling'), key }),
  v.strictObject({ for: v.literal('peer-link'), key }),
]);
export const memberMessage = v.variant('type', [
  v.strictObject({
    type: v.literal('punch'),
    id: count,
    near: v.optional(v.literal(true)),
    address,
    from: ports,
    to: v.optional(ports),
    purpose,
  }),
  v.strictObject({ type: v.literal('punching'), id: count, address, ports }),
  v.strictObject({ type: v.literal('unpunchable'), id: count, reason: line, busy: v.optional(v.boolean()) }),
  v.strictObject({ type: v.literal('relay'), purpose, reason: line }),
]);

/** Undefined: it is none. */
export function checkMessage(frame: unknown): MemberMessage | undefined {
  const result = v.safeParse(memberMessage, frame);
  if (!result.success) return undefined;
  const message: Agreed<typeof memberMessage, MemberMessage> = result.output;
  return message;
}
