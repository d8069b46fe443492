/**
 * How two members of a cluster that cannot reach each other directly meet. Peer messages go from supervisor to
 * supervisor: through the seed, which vouches for the sender, or over a peer link once there is one. Both the seed
 * that passes a message on and the member that gets it over a peer link check it here.
 */
import * as v from 'valibot';
import { address, count, type Immutable, name, port, portRange } from '../fields';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A member's connection to the seed, as seen from both ends. */
export interface Observation {
  readonly local: Endpoint;
  /** As the seed sees it. */
  readonly observed: Endpoint;
  /** The seed's data port. */
  readonly dataPort: Endpoint;
  /** The ports that this member may punch from: first and count. */
  readonly ports: readonly [number, number];
}

/** Where a member can be met. */
export const natReport = v.strictObject({
  /**
   * What is between a member and the internet. `none`: it has the address that others see. `port-preserving`: its ports
   * are seen as they are. `one-to-one`: they are, and everybody reaches them. `endpoint-independent`: as others, but the same ones by everybody. `symmetric`: differently
   * by everybody. `unknown`: not found out (yet, or the seed's data port cannot be reached).
   */
  kind: v.picklist(['none', 'one-to-one', 'port-preserving', 'endpoint-independent', 'symmetric', 'unknown']),
  /** As the seed sees it. */
  reflexiveAddress: address,
  /** Its own; the same as `reflexiveAddress` without a NAT. Members behind one public address meet there. */
  localAddress: address,
  /** The ports it punches from: first and count. Members that share an address have different ones. */
  ports: portRange,
});
export type NatReport = Immutable<v.InferOutput<typeof natReport>>;
export type NatKind = NatReport['kind'];

/** The member that sent a message, as the seed knows it. */
export const sender = v.strictObject({
  /** Where answers go. Never used again for another member while the seed runs. */
  member: count,
  /** Its name in events. */
  name,
  /** Virtual address. */
  address,
  /** 0: no host, but a client. */
  epoch: count,
  /**
   * Real addresses that it may request to be met at: those of its NAT report, the one for others and the one for near
   * members.
   */
  addresses: v.array(address),
});
export type Sender = Immutable<v.InferOutput<typeof sender>>;

/** Where a message goes: to a host as it runs now, or to the member that a message came from. */
export const recipient = v.union([name, count]);
export type Recipient = v.InferOutput<typeof recipient>;

const line = v.pipe(v.string(), v.maxLength(2_000));
/** Connections that one message may be about. */
const MOST_AT_ONCE = 64;
/** Nobody punches from the ports of well-known services, and no NAT maps another port to one of them. */
const punchPort = v.pipe(port, v.minValue(1_024));
const punchPorts = v.pipe(v.array(punchPort), v.minLength(1), v.maxLength(MOST_AT_ONCE));
/** 32 bytes for each connection, in base64. */
const secrets = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9+/]{42,}={0,2}$/),
  v.maxLength(4 * Math.ceil((MOST_AT_ONCE * 32) / 3)),
);
/** 32 bytes, in base64. */
export const key = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{43}=$/));

/** What a connection between two members is for. */
const purpose = v.variant('for', [
  /** One guest's connection to this port of the recipient, from `sourcePort`, the guest's own port. */
  v.strictObject({
    for: v.literal('connection'),
    port,
    sourcePort: port,
    /** When it is punched: 16 bytes that the sender says first, and 16 that the recipient says first. */
    proof: v.optional(key),
  }),
  /**
   * To this port of the recipient, from a client outside of the cluster, which the seed's ingress has accepted: the
   * sender's address is the client's, and `sourcePort` its port.
   */
  v.strictObject({ for: v.literal('ingress'), port, sourcePort: port }),
  /**
   * To be kept ready. Each side proves itself with its secret: the recipient at once, the sender when it uses the
   * connection. For each connection 16 bytes of the sender and 16 of the recipient.
   */
  v.strictObject({ for: v.literal('pool'), secrets }),
  /**
   * For calls of the sender's connector to the recipient's: connections for guests, which both open at once then. Each
   * side has 16 bytes of the key for what it says, the sender the first ones.
   */
  v.strictObject({ for: v.literal('signalling'), key }),
  /** The peer link of the two supervisors: TLS with this key, of which the sender is the client. */
  v.strictObject({ for: v.literal('peer-link'), key }),
]);
export type Purpose = Immutable<v.InferOutput<typeof purpose>>;

export const peerMessage = v.variant('type', [
  /**
   * Connect from your `to` ports to my `from` ports at once: I do the same the other way round. Without `to`: choose
   * them, and send them in `punching` first.
   */
  v.strictObject({
    type: v.literal('punch'),
    id: count,
    /** We are behind the same address and meet at our own ones; wait for me at yours. */
    near: v.optional(v.literal(true)),
    /**
     * Everybody reaches you: wait at `to` for a connection from `address`, from any port. For a guest's connection,
     * answer with `punching` when you do. That is your proof: say nothing over the connection first.
     */
    direct: v.optional(v.literal(true)),
    address,
    from: punchPorts,
    to: v.optional(punchPorts),
    /** `to` are what your ports are if your NAT preserves them, which nobody has reported yet. If it does not, answer. */
    guess: v.optional(v.literal(true)),
    purpose,
  }),
  /**
   * Answer to a `punch` without `to`, with a wrong guess, or with `direct`: from these ports (as others see them; when `near`, as they are) I am connecting
   * now.
   */
  v.strictObject({ type: v.literal('punching'), id: count, address, ports: punchPorts }),
  /** Answer to a `punch` that cannot work. `busy`: with other ports it can. */
  v.strictObject({ type: v.literal('unpunchable'), id: count, reason: line, busy: v.optional(v.boolean()) }),
  /** Sent along with a relay's token: connect to the relay, for this purpose. `reason`: why not in a better way. */
  v.strictObject({ type: v.literal('relay'), purpose, reason: line }),
  /**
   * Something that I send to you is never acknowledged: look which of our connections have survived. Answered by
   * `probing`. Through the seed only: it looks at the connections that it relays.
   */
  v.strictObject({ type: v.literal('probe') }),
  /** I am here, and look. */
  v.strictObject({ type: v.literal('probing') }),
]);
export type PeerMessage = Immutable<v.InferOutput<typeof peerMessage>>;

/** The message, checked; undefined when it is none. */
export function checkMessage(frame: unknown): PeerMessage | undefined {
  const result = v.safeParse(peerMessage, frame);
  return result.success ? result.output : undefined;
}
