import * as v from 'valibot';
import type { AnyFrame } from '../protocol/frame-codec';
import type { ToSeed } from '../protocol/frames';
import { memberMessage as message } from '../protocol/member-message';

/**
 * What a frame to the seed must look like. A peer has proved who it is, not that it is sane: a host's supervisor shares
 * its sandbox with its guests.
 */
const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const name = v.pipe(v.string(), v.maxLength(255));
const address = v.pipe(v.string(), v.ipv4());
const line = v.pipe(
  v.string(),
  v.transform((text) => (text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text)),
);
const mappings = v.pipe(
  v.array(
    v.object({
      port,
      realPort: port,
      scope: v.picklist(['any', 'host', 'loopback']),
      protocol: v.optional(v.literal('udp')),
    }),
  ),
  v.maxLength(4_096),
);

const reach = v.object({
  nat: v.picklist(['none', 'preserving', 'changing', 'symmetric', 'unknown']),
  address,
  local: address,
  ports: v.tuple([port, v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))]),
});
const recipient = v.union([name, count]);

const schema = v.variant('type', [
  v.object({
    type: v.literal('join'),
    host: v.optional(name),
    epoch: v.optional(count),
    address: v.optional(address),
    flat: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(254))),
    visitor: v.optional(v.boolean()),
    virtual: v.optional(address),
    ports: mappings,
    reach: v.optional(reach),
    directoryDigest: v.optional(name),
  }),
  v.object({
    type: v.literal('ask'),
    id: count,
    host: name,
    port,
    staleEpoch: v.optional(count),
    waited: v.optional(count),
    protocol: v.optional(v.literal('udp')),
  }),
  v.object({ type: v.literal('cancel'), id: count }),
  v.object({
    type: v.literal('ports'),
    ports: mappings,
    settled: v.boolean(),
    settledDatagrams: v.optional(v.boolean()),
  }),
  v.object({
    type: v.literal('report'),
    event: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,63}$/)),
    detail: v.pipe(
      v.record(v.pipe(v.string(), v.maxLength(64)), v.union([line, v.number(), v.boolean(), v.null()])),
      v.check((detail) => Object.keys(detail).length <= 64),
    ),
  }),
  v.object({ type: v.literal('reach'), reach }),
  v.object({ type: v.literal('tell'), to: recipient, message }),
  v.object({ type: v.literal('relay'), id: count, to: recipient, message }),
  v.object({ type: v.literal('suspend') }),
  v.object({ type: v.literal('stay') }),
  v.object({ type: v.literal('ack'), host: name, version: count }),
  v.object({
    type: v.literal('leave'),
    outcome: v.picklist(['suspended', 'exited', 'released', 'fenced', 'renew']),
    reason: v.optional(line),
    exitCode: v.optional(v.nullable(v.number())),
  }),
  v.object({ type: v.literal('status'), id: count }),
  v.object({ type: v.literal('events'), id: count, follow: v.boolean() }),
  v.object({ type: v.literal('reload'), id: count }),
]);

/** The frame, checked; or what is wrong with it. */
export function checkFrame(frame: AnyFrame): { readonly frame: ToSeed } | { readonly problem: string } {
  const result = v.safeParse(schema, frame);
  if (result.success) return { frame: result.output as ToSeed };
  const issue = result.issues[0];
  return { problem: `a '${frame.type.slice(0, 40)}' frame: ${v.getDotPath(issue) ?? 'frame'}: ${issue.message}` };
}
