/** What messages between members must look like: checked by the seed that passes them on, and by who gets them over an edge. */
import * as v from 'valibot';
import type { MemberMessage } from './rendezvous';

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const address = v.pipe(v.string(), v.ipv4());
const line = v.pipe(v.string(), v.maxLength(2_000));
/** Connections that one message may be about. */
const MOST_AT_ONCE = 64;
const ports = v.pipe(v.array(port), v.minLength(1), v.maxLength(MOST_AT_ONCE));
/** 32 bytes for each connection. */
const secrets = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9+/]{42,}={0,2}$/),
  v.maxLength(4 * Math.ceil((MOST_AT_ONCE * 32) / 3)),
);
const proof = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{22}==$/));
const key = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{43}=$/));
const purpose = v.variant('for', [
  v.object({ for: v.literal('connection'), port, sourcePort: port, proof: v.optional(proof) }),
  v.object({ for: v.literal('pool'), secrets }),
  v.object({ for: v.literal('wire'), key }),
  v.object({ for: v.literal('edge'), key }),
  v.object({ for: v.literal('datagrams'), key }),
]);
export const memberMessage = v.variant('type', [
  v.object({
    type: v.literal('punch'),
    id: count,
    near: v.optional(v.literal(true)),
    address,
    from: ports,
    to: v.optional(ports),
    purpose,
  }),
  v.object({ type: v.literal('punching'), id: count, address, ports }),
  v.object({ type: v.literal('unpunchable'), id: count, reason: line, busy: v.optional(v.boolean()) }),
  v.object({ type: v.literal('relay'), purpose, reason: line }),
]);

/** Undefined: it is none. */
export function checkMessage(frame: unknown): MemberMessage | undefined {
  const result = v.safeParse(memberMessage, frame);
  return result.success ? (result.output as MemberMessage) : undefined;
}
