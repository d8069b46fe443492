/** Frames from the seed, as every supervisor and operator checks them. */
import * as v from 'valibot';
import { address, checkedBy, count, type Immutable, name, port, portRange } from '../fields';
import type { ManifestHost } from '../manifest';
import { peerMessage, recipient, sender } from '../peer/peer-messages';
import { clusterEdge } from './edges';
import { type ConnectErrno, ERRNO } from './errno';
import type { AnyFrame } from './frame-codec';
import { hostState, location } from './location';
import { barrierReply, members } from './membership';
import { serviceFramesFromSeed } from './services';

const text = v.string();
/**
 * The seed has it from the manifest, which it has checked: a supervisor does not load a schema to check it once more.
 */
const manifestHost = v.custom<ManifestHost>(
  (value) => typeof value === 'object' && value !== null,
  'an entry of the manifest',
);

/** `since`: when its supervisor reported it first. Unix time, milliseconds. */
const holder = { by: text, what: v.optional(text), since: v.number() };

const clusterStatus = v.strictObject({
  cluster: text,
  cidr: text,
  /** Unix time, milliseconds. */
  startedAt: v.number(),
  hosts: v.array(
    v.strictObject({
      name,
      address,
      state: hostState,
      epoch: v.nullable(count),
      /** Unix time, milliseconds. */
      since: v.number(),
      allocations: count,
      /** Of the last allocation: milliseconds from the connect that caused it until the host ran. */
      allocateMs: v.nullable(v.number()),
      ports: v.array(port),
      waiting: count,
      /** What keeps the host from being idle, or its guest from its start, as its supervisor said last. */
      heldBy: v.optional(v.strictObject(holder)),
      /** What held it last, and when it was suspended or its epoch ended. */
      lastHeldBy: v.optional(v.strictObject({ ...holder, until: v.number() })),
      /** With state `failed` or after a failure: why, for people. */
      reason: v.optional(text),
    }),
  ),
});
export type ClusterStatus = Immutable<v.InferOutput<typeof clusterStatus>>;

/** One line of the cluster's event log. */
const clusterEvent = v.strictObject({
  /** Unix time, milliseconds, with fraction. */
  time: v.number(),
  host: v.nullable(name),
  /**
   * `seed-started`, `allocating` (detail: by, port), `invoked`, `joined`, `guest-started`, `listening` (port),
   * `running`, `connected` (from, to port), `refused`, `suspending`, `suspended`, `resuming`, `resumed`, `released`,
   * `exited`, `failed`, …
   */
  event: text,
  detail: v.record(text, v.union([text, v.number(), v.boolean(), v.null()])),
});
export type ClusterEvent = Immutable<v.InferOutput<typeof clusterEvent>>;

const fromSeed = v.variant('type', [
  ...serviceFramesFromSeed,
  /** Answer to `join`. */
  v.strictObject({
    type: v.literal('welcome'),
    cluster: text,
    cidr: text,
    /** The joiner's identity from now on. */
    self: v.strictObject({ name, address, nodeId: count, epoch: count }),
    /** The host's own entry of the manifest; absent for clients. */
    host: v.optional(manifestHost),
    /** Packed (`packDirectory`). Absent: the joiner has this one already. */
    directory: v.optional(text),
    directoryDigest: text,
    /** The address and port that the seed saw this connection come from. */
    observed: address,
    observedPort: port,
    /** The seed's data port, at the seed's address. */
    dataPort: port,
    /** Where the cluster's other seed is, which takes over when this one is gone. Absent: there is none. */
    standby: v.optional(
      v.strictObject({
        /** `address:port`. */
        seed: text,
        /** Milliseconds between signs of life of this seed: silent for four of them, it is gone. */
        heartbeat: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(60_000)),
      }),
    ),
    /** Ports to punch from: the first and the count. Members that the seed sees at one address have different ones. */
    ports: portRange,
  }),
  /** The join or an operator's frame was refused; the connection is closed next. */
  v.strictObject({ type: v.literal('refuse'), reason: text, fenced: v.optional(v.boolean()) }),
  /** Answer to `locate`: the host listens on the port. */
  v.strictObject({ type: v.literal('located'), id: count, location, realPort: port }),
  /** Answer to `locate`: the error for the guest. */
  v.strictObject({
    type: v.literal('unreachable'),
    id: count,
    errno: v.picklist(Object.keys(ERRNO) as ConnectErrno[]),
    reason: text,
  }),
  /** A location that this supervisor is subscribed to has changed. Answered by `ack`. */
  v.strictObject({ type: v.literal('location'), version: count, location }),
  /**
   * The receiver's guests are likely to connect to this epoch of `host`, of which the location has just been sent.
   * Answered by `used` once they do.
   */
  v.strictObject({ type: v.literal('expected'), host: name, epoch: count }),
  /** That client is in the cluster no more: connections with it are dead. */
  v.strictObject({ type: v.literal('clientGone'), client: name }),
  /** Another member's message, passed on. */
  v.strictObject({ type: v.literal('peerMessage'), from: sender, message: peerMessage }),
  /** A message (the one with this id, where it has one) was not passed on. */
  v.strictObject({ type: v.literal('undeliverable'), to: recipient, id: v.optional(count), reason: text }),
  /** Answer to `relay`: the token (base64) to connect to the data port with. */
  v.strictObject({ type: v.literal('relayReply'), id: count, token: text }),
  /** Answer to `relay`: why there is no token. */
  v.strictObject({ type: v.literal('relayReply'), id: count, reason: text }),
  /** A member wants a connection through the data port: connect to it with this token, or answer `relayRefused`. */
  v.strictObject({ type: v.literal('relayed'), from: sender, token: text, message: peerMessage }),
  /** Answer to `suspend`. After `ok` the host sends `leave`, or `stay`. */
  v.strictObject({ type: v.literal('suspendReply'), ok: v.boolean(), reason: v.optional(text) }),
  /** Answer to `leave` with `park`: the connection stays. Nothing follows on it before the next `join`. */
  v.strictObject({ type: v.literal('parked') }),
  /** An operator has ordered the end of the host: it is released, and answers by `leave`. */
  v.strictObject({ type: v.literal('release'), reason: text }),
  /** Stop: a newer epoch exists, or the cluster goes down. */
  v.strictObject({ type: v.literal('stop'), reason: text, fenced: v.boolean() }),
  /** The cluster has a newer key: this host proves itself with this secret when it joins again. */
  v.strictObject({ type: v.literal('secret'), secret: text }),
  /** Answer to `command`: how it went, and the host's state now. */
  v.strictObject({
    type: v.literal('commandReply'),
    id: count,
    ok: v.boolean(),
    reason: v.optional(text),
    state: hostState,
  }),
  /** Answer to `reload`: the ids of the keys that are accepted now, the newest first. */
  v.strictObject({ type: v.literal('reloaded'), id: count, keys: v.array(text) }),
  /** Answers to `membership` and `barrier`. */
  members,
  barrierReply,
  /** Answer to `status`. */
  v.strictObject({ type: v.literal('statusReply'), id: count, status: clusterStatus }),
  /** Answer to `edges`. `more`: it goes on with the next one. */
  v.strictObject({ type: v.literal('edgesReply'), id: count, edges: v.array(clusterEdge), more: v.boolean() }),
  /** Answer to `events`, one for each event. */
  v.strictObject({ type: v.literal('event'), id: count, event: clusterEvent }),
  /** Answer to `events` without `follow`, after the last event. */
  v.strictObject({ type: v.literal('eventsEnd'), id: count }),
]);
export type FromSeed = Immutable<v.InferOutput<typeof fromSeed>>;

/** The frame, checked; or what is wrong with it. */
export const checkFromSeed = (frame: AnyFrame) => checkedBy(fromSeed, frame);
