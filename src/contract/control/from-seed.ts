/** What frames of the seed must look like: checked by everybody who hears it. */
import * as v from 'valibot';
import type { ManifestHost } from '../manifest';
import { memberMessage as message } from '../peer/peer-message';
import { ERRNO } from './errno';
import {
  type Agreed,
  address,
  checkedBy,
  count,
  name,
  natReport,
  port,
  portMapping,
  portRange,
  recipient,
} from './fields';
import type { AnyFrame } from './frame-codec';
import type { FromSeed } from './frames';

const text = v.string();
const state = v.picklist(['imagined', 'allocating', 'running', 'suspended', 'failed']);
const location = v.strictObject({
  host: name,
  epoch: count,
  state,
  address: v.optional(address),
  ports: v.array(portMapping),
  nat: v.optional(natReport),
});
const sender = v.strictObject({ member: count, name, address, epoch: count, addresses: v.array(address) });
/** The seed has it from the manifest, which it has checked: a supervisor does not load what would check it once more. */
const host = v.custom<ManifestHost>((value) => typeof value === 'object' && value !== null, 'an entry of the manifest');
const status = v.strictObject({
  cluster: text,
  cidr: text,
  startedAt: v.number(),
  hosts: v.array(
    v.strictObject({
      name,
      address,
      state,
      epoch: v.nullable(count),
      since: v.number(),
      allocations: count,
      allocateMs: v.nullable(v.number()),
      ports: v.array(port),
      waiting: count,
      reason: v.optional(text),
    }),
  ),
});
const event = v.strictObject({
  time: v.number(),
  host: v.nullable(name),
  event: text,
  detail: v.record(text, v.union([text, v.number(), v.boolean(), v.null()])),
});
type Errno = keyof typeof ERRNO;

const schema = v.variant('type', [
  v.strictObject({
    type: v.literal('welcome'),
    cluster: text,
    cidr: text,
    self: v.strictObject({ name, address, nodeId: count, epoch: count }),
    host: v.optional(host),
    directory: v.optional(text),
    directoryDigest: text,
    observed: address,
    observedPort: port,
    dataPort: port,
    ports: portRange,
  }),
  v.strictObject({ type: v.literal('refuse'), reason: text, fenced: v.optional(v.boolean()) }),
  v.strictObject({ type: v.literal('located'), id: count, location, realPort: port }),
  v.strictObject({
    type: v.literal('unreachable'),
    id: count,
    errno: v.picklist(Object.keys(ERRNO) as Errno[]),
    reason: text,
  }),
  v.strictObject({ type: v.literal('location'), version: count, location }),
  v.strictObject({ type: v.literal('peerMessage'), from: sender, message }),
  v.strictObject({ type: v.literal('undeliverable'), to: recipient, id: v.optional(count), reason: text }),
  v.strictObject({ type: v.literal('relayReply'), id: count, token: text }),
  v.strictObject({ type: v.literal('relayReply'), id: count, reason: text }),
  v.strictObject({ type: v.literal('relayed'), from: sender, token: text, message }),
  v.strictObject({ type: v.literal('suspendReply'), ok: v.boolean(), reason: v.optional(text) }),
  v.strictObject({ type: v.literal('stop'), reason: text, fenced: v.boolean() }),
  v.strictObject({ type: v.literal('secret'), secret: text }),
  v.strictObject({ type: v.literal('reloaded'), id: count, keys: v.array(text) }),
  v.strictObject({ type: v.literal('statusReply'), id: count, status }),
  v.strictObject({ type: v.literal('event'), id: count, event }),
  v.strictObject({ type: v.literal('eventsEnd'), id: count }),
]);

/** The frame, checked; or what is wrong with it. */
export function checkFromSeed(frame: AnyFrame): { readonly frame: FromSeed } | { readonly problem: string } {
  const checked: { readonly frame: Agreed<typeof schema, FromSeed> } | { readonly problem: string } = checkedBy(
    schema,
    frame,
  );
  return checked;
}
