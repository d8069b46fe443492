/**
 * Frames of the coordination service: who is a member, and barriers that wait for members.
 *
 *   member ── membership follow ──▶ seed        again after each join: what was sent before counts no more
 *   member ◀── members ──────────── seed        at first all that there are, in parts; then what changes
 *   member ── membership next ────▶ seed        the part is taken over: the seed sends what has changed meanwhile
 *   member ── membership end ─────▶ seed
 *
 *   member ── barrier ────────────▶ seed        again after each join, with the time that is left
 *   member ◀── barrierReply ─────── seed
 */
import * as v from 'valibot';
import { address, count, type Immutable, name } from '../fields';
import { MOST_BARRIER_HOSTS } from '../manifest/limits';

/** The longest list of members in one frame. */
export const MOST_MEMBERS = 256;
/** Names that are missing at a barrier and that an answer, an event or a message lists. More are counted. */
export const MOST_MISSING = 16;

export const membership = v.strictObject({
  type: v.literal('membership'),
  /** Of this list, which `members` names. */
  id: count,
  op: v.picklist(['follow', 'next', 'end']),
});

/** Wants to know when the hosts have joined. Answered by `barrierReply`. The hosts are allocated. */
export const barrier = v.strictObject({
  type: v.literal('barrier'),
  id: count,
  /** So many hosts in all. */
  count: v.optional(count),
  hosts: v.optional(v.pipe(v.array(name), v.maxLength(MOST_BARRIER_HOSTS))),
  /** Milliseconds. */
  timeout: v.pipe(count, v.maxValue(2_147_483_647)),
});

/** Nothing waits at this barrier any longer. */
export const leaveBarrier = v.strictObject({ type: v.literal('leaveBarrier'), id: count });

/** One member. `joined`: it is up, at least its supervisor. */
const entry = v.strictObject({
  id: count,
  name,
  address,
  /** Of a client: 0. */
  epoch: count,
  state: v.picklist(['joined', 'suspended', 'left']),
});
export type MemberEntry = Immutable<v.InferOutput<typeof entry>>;

/** `complete`: no further change is known. The first one that is complete ends the list that `follow` asked for. */
export const members = v.strictObject({
  type: v.literal('members'),
  id: count,
  members: v.pipe(v.array(entry), v.maxLength(MOST_MEMBERS)),
  complete: v.boolean(),
});

/** `met`, or the time is over, or it cannot be met: then with what is missing. */
export const barrierReply = v.strictObject({
  type: v.literal('barrierReply'),
  id: count,
  met: v.boolean(),
  /** Hosts that have joined. */
  present: count,
  /** The names that have not; the first of them. */
  missing: v.optional(v.array(name)),
  reason: v.optional(v.string()),
});
export type BarrierReply = Immutable<v.InferOutput<typeof barrierReply>>;
