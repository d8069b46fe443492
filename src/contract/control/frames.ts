import type { ManifestHost } from '../manifest';
import type { MemberMessage, NatReport, Recipient, Sender } from '../peer/peer-messages';
import type { ConnectErrno } from './errno';
import type { HostState, Location, PortMapping } from './location';

/**
 * Frames of the control network: what a supervisor (or an operator) and the seed say to each other over one TLS
 * connection with a pre-shared key. Identity (the PSK identity): `host/NAME/EPOCH`, `client`, or `operator`.
 */
export type Frame = ToSeed | FromSeed;

/** What supervisors report. All other events are the seed's own, and nobody else's to say. */
export const REPORTED_EVENTS = [
  'guest-started',
  'transport-chosen',
  'datagrams-lost',
  'relay-failed',
  'peer-silent',
  'not-listening',
] as const;
export type ReportedEvent = (typeof REPORTED_EVENTS)[number];

export type ToSeed =
  /** First frame of a supervisor. `host` absent: a client; it gets an address and a name from the seed. */
  | {
      readonly type: 'join';
      readonly host?: string;
      readonly epoch?: number;
      /**
       * Tells apart sandboxes that are invoked with one epoch: the platform may repeat an invocation, or give a new sandbox. Another
       * one for each set of guests.
       */
      readonly life?: string;
      /** The host's guests are in the sandbox already. */
      readonly guests?: boolean;
      /** A client that acts under `host`'s address; it never becomes its location. */
      readonly asClient?: boolean;
      /** Rejoin of a client: the virtual address it had. */
      readonly virtual?: string;
      /** What the guests listen on already (rejoin). */
      readonly ports: readonly PortMapping[];
      /** What it knows of its NAT already (rejoin). */
      readonly nat?: NatReport;
      /** The directory that it has already (rejoin): `directoryDigest` of the last `welcome`. */
      readonly directoryDigest?: string;
    }
  /**
   * A guest wants to connect to `host`:`port`. Answered by `answer` or `fail` with the same id; an `answer` also subscribes to
   * the location. `waited`: milliseconds that it waited already, when it is asked again after a lost connection.
   */
  | {
      readonly type: 'locate';
      readonly id: number;
      readonly host: string;
      readonly port: number;
      readonly staleEpoch?: number;
      readonly waited?: number;
      /** A datagram waits, not a connection: answered when the host is up, whether or not the port is among its ports. */
      readonly protocol?: 'udp';
    }
  /** Nobody waits for this ask any longer. */
  | { readonly type: 'cancel'; readonly id: number }
  /** All ports the guests listen on now. */
  | {
      readonly type: 'ports';
      readonly ports: readonly PortMapping[];
      readonly settled: boolean;
      readonly settledDatagrams?: boolean;
    }
  /** Something the operator should see. */
  | {
      readonly type: 'report';
      readonly event: ReportedEvent;
      readonly detail: Readonly<Record<string, string | number | boolean | null>>;
    }
  /** What it found out about its NAT. The seed puts in the address that it sees, and the ports that it gave. */
  | { readonly type: 'natReport'; readonly nat: NatReport }
  /** To be passed on to another member, as `told`. Answered only when that cannot be done, by `untold`. */
  | { readonly type: 'peerMessage'; readonly to: Recipient; readonly message: MemberMessage }
  /** Asks for a connection through the seed's data port. Answered by `relayReply`; the recipient gets `relayed`. */
  | { readonly type: 'relay'; readonly id: number; readonly to: Recipient; readonly message: MemberMessage }
  /** Idle. Answered by `suspendReply` once no other host believes that this one can be reached. */
  | { readonly type: 'suspend' }
  /** Answer to `suspendReply {ok:true}` when something came in meanwhile: stay `running`. */
  | { readonly type: 'stay' }
  /** This location was taken over into the table (sent for every `location`). */
  | { readonly type: 'ack'; readonly host: string; readonly version: number }
  /** Leaves for good or until the next invocation; the connection is closed next. */
  | {
      readonly type: 'leave';
      readonly outcome: 'suspended' | 'exited' | 'released' | 'fenced' | 'renew';
      readonly reason?: string;
      readonly exitCode?: number | null;
    }
  /** Operator requests. */
  | { readonly type: 'status'; readonly id: number }
  | { readonly type: 'events'; readonly id: number; readonly follow: boolean }
  /** The cluster keys have changed where the seed has them from. */
  | { readonly type: 'reload'; readonly id: number };

export type FromSeed =
  /** Answer to `join`. */
  | {
      readonly type: 'welcome';
      readonly cluster: string;
      readonly cidr: string;
      /** Who the joiner is now. */
      readonly self: {
        readonly name: string;
        readonly address: string;
        readonly nodeId: number;
        readonly epoch: number;
      };
      /** The host's own entry of the manifest; absent for clients. */
      readonly host?: ManifestHost;
      /** Packed (`packDirectory`). Absent: the joiner has this one already. */
      readonly directory?: string;
      readonly directoryDigest: string;
      /** The address and port that the seed saw this connection come from. */
      readonly observed: string;
      readonly observedPort: number;
      /** Port of the seed's data port, at the seed's address. */
      readonly dataPort: number;
      /** Ports to punch from: the first and how many. Members that the seed sees at one address have different ones. */
      readonly ports: readonly [number, number];
    }
  /** The join or an operator request was refused; the connection is closed next. */
  | { readonly type: 'refuse'; readonly reason: string; readonly fenced?: boolean }
  | { readonly type: 'located'; readonly id: number; readonly location: Location; readonly realPort: number }
  | { readonly type: 'unreachable'; readonly id: number; readonly errno: ConnectErrno; readonly reason: string }
  /** A location that this supervisor asked for has changed. */
  | { readonly type: 'location'; readonly version: number; readonly location: Location }
  /** A member's message. */
  | { readonly type: 'peerMessage'; readonly from: Sender; readonly message: MemberMessage }
  /** A message (the one with this id, where it has one) was not passed on. */
  | { readonly type: 'undeliverable'; readonly to: Recipient; readonly id?: number; readonly reason: string }
  /** Answer to `relay`: the token (base64) to connect to the data port with, or why there is none. */
  | { readonly type: 'relayReply'; readonly id: number; readonly token: string }
  | { readonly type: 'relayReply'; readonly id: number; readonly reason: string }
  /** A member wants a connection through the data port: connect to it with this token. */
  | { readonly type: 'relayed'; readonly from: Sender; readonly token: string; readonly message: MemberMessage }
  | { readonly type: 'suspendReply'; readonly ok: boolean; readonly reason?: string }
  /** Stop: a newer epoch exists, or the cluster goes down. */
  | { readonly type: 'stop'; readonly reason: string; readonly fenced: boolean }
  /** The cluster has a newer key: what this host proves itself with when it joins again. */
  | { readonly type: 'secret'; readonly secret: string }
  /** Answer to `reload`: the ids of the keys that are accepted now, the newest first. */
  | { readonly type: 'reloaded'; readonly id: number; readonly keys: readonly string[] }
  | { readonly type: 'statusReply'; readonly id: number; readonly status: ClusterStatus }
  | { readonly type: 'event'; readonly id: number; readonly event: ClusterEvent }
  | { readonly type: 'eventsEnd'; readonly id: number };

export interface DirectoryEntry {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly address: string;
  /** The number in the canonical name `node-ID`: the host's place in the manifest. */
  readonly nodeId: number;
  /** How long a connect to it waits, in milliseconds. Absent: the manifest's default. */
  readonly allocationTimeout?: number;
}

export interface ClusterStatus {
  readonly cluster: string;
  readonly cidr: string;
  /** Unix time, milliseconds. */
  readonly startedAt: number;
  readonly hosts: ReadonlyArray<{
    readonly name: string;
    readonly address: string;
    readonly state: HostState;
    readonly epoch: number | null;
    readonly since: number;
    readonly allocations: number;
    /** From the connect that caused it to running, of the last allocation. */
    readonly allocateMs: number | null;
    readonly ports: readonly number[];
    readonly waiting: number;
    /** With state `failed` or after a failure: why, for people. */
    readonly reason?: string;
  }>;
}

/** One line of the cluster's event log. */
export interface ClusterEvent {
  /** Unix time, milliseconds, with fraction. */
  readonly time: number;
  readonly host: string | null;
  /**
   * `seed-started`, `allocating` (detail: by, port), `invoked`, `joined`, `guest-started`, `listening` (port), `running`,
   * `connected` (from, to port), `refused`, `suspending`, `suspended`, `resuming`, `resumed`, `released`, `exited`, `failed`, …
   */
  readonly event: string;
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}
