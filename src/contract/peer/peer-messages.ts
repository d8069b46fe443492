/**
 * How two members of a cluster that cannot reach each other directly meet. Messages go from supervisor to supervisor: through
 * the seed, which vouches for the sender, or over a peer link once there is one. Types only.
 */

/**
 * The NAT between a member and the internet (RFC 4787). `none`: others see the member's own address. `port-preserving`: they see its
 * own ports. `endpoint-independent`: all see the same other port. `symmetric`: each sees another port. `unknown`: not classified (yet,
 * or the seed's data port cannot be reached).
 */
export type NatKind = 'none' | 'port-preserving' | 'endpoint-independent' | 'symmetric' | 'unknown';

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
export interface NatReport {
  readonly kind: NatKind;
  /** As the seed sees it. */
  readonly reflexiveAddress: string;
  /** Its own; the same as `reflexiveAddress` without a NAT. Members behind one public address meet there. */
  readonly localAddress: string;
  /** The ports it punches from: first and count. Members that share an address have different ones. */
  readonly ports: readonly [number, number];
}

/** The sender of a message, as the seed knows it. */
export interface Sender {
  /** To be answered at. Never used again for another member while the seed runs. */
  readonly member: number;
  /** Its name in events. */
  readonly name: string;
  /** Virtual address. */
  readonly address: string;
  /** 0: no host, but a client. */
  readonly epoch: number;
  /** Real addresses that it may ask to be met at: the two of its NAT report. */
  readonly addresses: readonly string[];
}

/** The receiver of a message: a host as it runs now, or the member that a message came from. */
export type Recipient = string | number;

/** What a connection between two members is for. */
export type Purpose =
  /**
   * One guest's connection to this port of the recipient's, from what is the guest's own port to it. `proof` (base64, 32 bytes), when
   * it is punched: 16 bytes that the sender says first, and 16 that the recipient says first.
   */
  | { readonly for: 'connection'; readonly port: number; readonly sourcePort: number; readonly proof?: string }
  /**
   * To be kept ready. Each side proves itself with its secret: the recipient at once, the sender when it uses the connection.
   * For each of them 16 bytes of the sender and 16 of the recipient; all of it in base64.
   */
  | { readonly for: 'pool'; readonly secrets: string }
  /**
   * For calls of the sender's connector to the recipient's: connections for guests, which both open at once then. Each side has
   * 16 bytes of the key (base64, 32 bytes) for what it says, the sender the first ones.
   */
  | { readonly for: 'signalling'; readonly key: string }
  /** The peer link of the two supervisors: TLS with this key (base64, 32 bytes), of which the sender is the client. */
  | { readonly for: 'peer-link'; readonly key: string };

export type MemberMessage =
  /**
   * Connect from your `to` ports to my `from` ports at once: I do the same the other way round. Without `to`: choose them, and
   * say so in `punching` first. `near`: we are behind the same address and meet at our own ones; wait for me at yours.
   */
  | {
      readonly type: 'punch';
      readonly id: number;
      readonly near?: true;
      readonly address: string;
      readonly from: readonly number[];
      readonly to?: readonly number[];
      readonly purpose: Purpose;
    }
  /** Answer to a `punch` without `to`: from these ports (as others see them; when `near`, as they are) I am connecting now. */
  | { readonly type: 'punching'; readonly id: number; readonly address: string; readonly ports: readonly number[] }
  /** Answer to a `punch` that cannot work. `busy`: with other ports it can. */
  | { readonly type: 'unpunchable'; readonly id: number; readonly reason: string; readonly busy?: boolean }
  /** Sent along with a relay's token: connect to the relay, and this is what for. `reason`: why not in a better way. */
  | { readonly type: 'relay'; readonly purpose: Purpose; readonly reason: string };
