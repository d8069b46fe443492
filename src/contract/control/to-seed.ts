/**
 * Frames to the seed. A peer has proved its identity, not that it is sane: the supervisor of a host shares its sandbox
 * with guests, so every bound here is one that the seed relies on.
 */
import * as v from 'valibot';
import { address, checkedBy, count, type Immutable, name, outcome, port } from '../fields';
import { key, natReport, peerMessage, recipient } from '../peer/peer-messages';
import type { AnyFrame } from './frame-codec';
import { portMapping } from './location';
import { barrier, leaveBarrier, membership } from './membership';
import { serviceFramesToSeed } from './services';

/** Events that supervisors report. All other events are the seed's own. */
export const REPORTED_EVENTS = [
  'guest-started',
  'transport-chosen',
  'datagrams-lost',
  'relay-failed',
  'peer-silent',
  'not-listening',
  'not-ready',
  'ready',
  'command-done',
  'command-failed',
] as const;
export type ReportedEvent = (typeof REPORTED_EVENTS)[number];

/** What may keep a host from being idle. */
export const HELD_BY = ['starting', 'cpu', 'connections', 'traffic', 'waiting'] as const;
export type HeldBy = (typeof HELD_BY)[number];

const MOST_OF_LINE = 2_000;
const line = v.pipe(
  v.string(),
  // The terminal of an operator would obey control characters.
  v.transform(
    (text) => text.slice(0, MOST_OF_LINE).replace(/[^\P{Cc}\n\t]/gu, '�') + (text.length > MOST_OF_LINE ? '…' : ''),
  ),
);
/**
 * What operators may order of a host. `start`: allocate or resume it. `wake`: resume it. `release`: end the guests of
 * the suspended host. `stop`: end its guests, whether it runs or is suspended.
 */
export const HOST_COMMANDS = ['start', 'wake', 'release', 'stop'] as const;
export type HostCommand = (typeof HOST_COMMANDS)[number];

const portMappings = v.pipe(v.array(portMapping), v.maxLength(4_096));

const toSeed = v.variant('type', [
  ...serviceFramesToSeed,
  /** First frame of a supervisor. Answered by `welcome` or `refuse`. */
  v.strictObject({
    type: v.literal('join'),
    /** Absent: a client, which gets an address and a name from the seed. */
    host: v.optional(name),
    epoch: v.optional(count),
    /**
     * Tells apart sandboxes that are invoked with one epoch: the platform may repeat an invocation. An epoch belongs to
     * the first of them that joins. Another one for each set of guests.
     */
    life: v.optional(name),
    /** The epoch as which its guests were started. Absent: this one. */
    born: v.optional(count),
    /**
     * A client that acts under the address of `host`; it never becomes its location. So does a sandbox while its host is
     * released out of suspension: for the host's `onRelease`.
     */
    asClient: v.optional(v.boolean()),
    /** Rejoin of a client: the virtual address it had. */
    virtual: v.optional(address),
    /** Ports the guests listen on already (rejoin). */
    ports: portMappings,
    /** What the supervisor has found out about its NAT already (rejoin). */
    nat: v.optional(natReport),
    /** The directory the supervisor has already (rejoin): `directoryDigest` of the last `welcome`. */
    directoryDigest: v.optional(name),
  }),
  /**
   * A guest wants to connect to `host`:`port`. Answered by `located` or `unreachable` with the same id; `located` also
   * subscribes to the location.
   */
  v.strictObject({
    type: v.literal('locate'),
    id: count,
    host: name,
    port,
    /** The epoch that could not be connected to. */
    staleEpoch: v.optional(count),
    /** Milliseconds that the guest has waited already, when the frame is sent again after a lost connection. */
    waited: v.optional(count),
    /** A datagram waits, not a connection: answered when the host is up, whether or not the port is among its ports. */
    protocol: v.optional(v.literal('udp')),
  }),
  /**
   * There are open connections with this epoch of `host`: subscribes to its location. Epoch 0: with the client of that
   * name, whose end is sent as `clientGone`.
   */
  v.strictObject({ type: v.literal('watch'), host: name, epoch: count }),
  /** A guest has connected to this epoch of `host`, or sent it a datagram, as `expected` has foretold. Once. */
  v.strictObject({ type: v.literal('used'), host: name, epoch: count }),
  /** Bytes wait for this epoch of `host`, which is suspended, on an open connection of the sender's: wakes it. */
  v.strictObject({ type: v.literal('data'), host: name, epoch: count }),
  /** No guest waits for this `locate` any longer. */
  v.strictObject({ type: v.literal('cancel'), id: count }),
  /** All ports the guests listen on now. */
  v.strictObject({
    type: v.literal('ports'),
    ports: portMappings,
    settled: v.boolean(),
    settledDatagrams: v.optional(v.boolean()),
  }),
  /** An event for the operator. */
  v.strictObject({
    type: v.literal('report'),
    event: v.picklist(REPORTED_EVENTS),
    detail: v.pipe(
      v.record(v.pipe(v.string(), v.maxLength(64)), v.union([line, v.number(), v.boolean(), v.null()])),
      v.check((detail) => Object.keys(detail).length <= 16),
    ),
  }),
  /** What keeps the host from being idle, for operators: `what` names the connection or the process. */
  v.strictObject({ type: v.literal('held'), by: v.picklist(HELD_BY), what: v.optional(line) }),
  /** The NAT report of the sender. The seed puts in the address that it sees, and the ports that it gave. */
  v.strictObject({ type: v.literal('natReport'), nat: natReport }),
  /**
   * Of a host instance, which waits at this port of its own: connect to it where the connection of this frame comes from,
   * and say `knockOf(secret)`. Not answered.
   */
  v.strictObject({ type: v.literal('knock'), port, secret: key }),
  /** To be passed on to another member. Answered only when that cannot be done, by `undeliverable`. */
  v.strictObject({ type: v.literal('peerMessage'), to: recipient, message: peerMessage }),
  /** Requests a connection through the seed's data port. Answered by `relayReply`; the recipient gets `relayed`. */
  v.strictObject({ type: v.literal('relay'), id: count, to: recipient, message: peerMessage }),
  /** Answer to `relayed`: this member will not come with that token. Whoever waits for it is told so at once. */
  v.strictObject({ type: v.literal('relayRefused'), token: key, reason: line }),
  /** The host is idle. Answered by `suspendReply` once no other host believes that this one can be reached. */
  v.strictObject({ type: v.literal('suspend') }),
  /** Answer to `suspendReply {ok:true}` when a connection came in meanwhile: stay `running`. */
  v.strictObject({ type: v.literal('stay') }),
  /** This location was taken over into the table (sent for every `location`). */
  v.strictObject({ type: v.literal('ack'), host: name, version: count }),
  /** The host leaves for good or until the next invocation; the connection is closed next, unless it is parked. */
  v.strictObject({
    type: v.literal('leave'),
    outcome,
    reason: v.optional(line),
    exitCode: v.optional(v.nullable(v.number())),
    /** Of a suspended host: milliseconds until its guests want to run again by themselves, as far as is known. */
    wakeIn: v.optional(count),
    /**
     * The host comes back with its next invocation, and would join over this connection again. Answered by `parked`, or
     * the connection is closed. Parked, it carries nothing either way before that `join`.
     */
    park: v.optional(v.boolean()),
  }),
  /** What a guest wants to know of the members, and what a start waits for: see `membership.ts`. */
  membership,
  barrier,
  leaveBarrier,
  /** Operator. Answered by `statusReply`. */
  v.strictObject({ type: v.literal('status'), id: count }),
  /** Operator. Answered by one `edgesReply`, or several. */
  v.strictObject({ type: v.literal('edges'), id: count }),
  /**
   * Operator. Answered by an `event` for each one so far and, with `follow`, for each that comes; else by `eventsEnd`
   * at last.
   */
  v.strictObject({ type: v.literal('events'), id: count, follow: v.boolean() }),
  /** Operator: an order about one host. Answered by `commandReply` once it is carried out, or cannot be. */
  v.strictObject({ type: v.literal('command'), id: count, host: name, command: v.picklist(HOST_COMMANDS) }),
  /** Operator: the cluster keys have changed where the seed has them from. Answered by `reloaded`. */
  v.strictObject({ type: v.literal('reload'), id: count }),
]);
export type ToSeed = Immutable<v.InferOutput<typeof toSeed>>;

/** The frame, checked; or what is wrong with it. */
export const checkToSeed = (frame: AnyFrame) => checkedBy(toSeed, frame);
