import * as v from 'valibot';
import { memberMessage as message } from '../peer/peer-message';
import { type Agreed, address, checkedBy, count, name, natReport, port, portMapping, recipient } from './fields';
import type { AnyFrame } from './frame-codec';
import { REPORTED_EVENTS, type ToSeed } from './frames';

/**
 * What a frame to the seed must look like. A peer has proved who it is, not that it is sane: a host's supervisor shares
 * its sandbox with its guests.
 */
const MOST_OF_LINE = 2_000;
const line = v.pipe(
  v.string(),
  // An operator's terminal would do what control characters say.
  v.transform(
    (text) => text.slice(0, MOST_OF_LINE).replace(/[^\P{Cc}\n\t]/gu, '�') + (text.length > MOST_OF_LINE ? '…' : ''),
  ),
);
const mappings = v.pipe(v.array(portMapping), v.maxLength(4_096));

const schema = v.variant('type', [
  v.strictObject({
    type: v.literal('join'),
    host: v.optional(name),
    epoch: v.optional(count),
    life: v.optional(name),
    guests: v.optional(v.boolean()),
    asClient: v.optional(v.boolean()),
    virtual: v.optional(address),
    ports: mappings,
    nat: v.optional(natReport),
    directoryDigest: v.optional(name),
  }),
  v.strictObject({
    type: v.literal('locate'),
    id: count,
    host: name,
    port,
    staleEpoch: v.optional(count),
    waited: v.optional(count),
    protocol: v.optional(v.literal('udp')),
  }),
  v.strictObject({ type: v.literal('cancel'), id: count }),
  v.strictObject({
    type: v.literal('ports'),
    ports: mappings,
    settled: v.boolean(),
    settledDatagrams: v.optional(v.boolean()),
  }),
  v.strictObject({
    type: v.literal('report'),
    event: v.picklist(REPORTED_EVENTS),
    detail: v.pipe(
      v.record(v.pipe(v.string(), v.maxLength(64)), v.union([line, v.number(), v.boolean(), v.null()])),
      v.check((detail) => Object.keys(detail).length <= 16),
    ),
  }),
  v.strictObject({ type: v.literal('natReport'), nat: natReport }),
  v.strictObject({ type: v.literal('peerMessage'), to: recipient, message }),
  v.strictObject({ type: v.literal('relay'), id: count, to: recipient, message }),
  v.strictObject({ type: v.literal('suspend') }),
  v.strictObject({ type: v.literal('stay') }),
  v.strictObject({ type: v.literal('ack'), host: name, version: count }),
  v.strictObject({
    type: v.literal('leave'),
    outcome: v.picklist(['suspended', 'exited', 'released', 'fenced', 'renew']),
    reason: v.optional(line),
    exitCode: v.optional(v.nullable(v.number())),
  }),
  v.strictObject({ type: v.literal('status'), id: count }),
  v.strictObject({ type: v.literal('events'), id: count, follow: v.boolean() }),
  v.strictObject({ type: v.literal('reload'), id: count }),
]);

/** The frame, checked; or what is wrong with it. */
export function checkFrame(frame: AnyFrame): { readonly frame: ToSeed } | { readonly problem: string } {
  const checked: { readonly frame: Agreed<typeof schema, ToSeed> } | { readonly problem: string } = checkedBy(
    schema,
    frame,
  );
  return checked;
}
