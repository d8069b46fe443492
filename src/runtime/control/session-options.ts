/** What a member tells its session, and hears from it. */
import type { FromSeed } from '../../contract/control/from-seed';
import type { Location } from '../../contract/control/location';
import type { DirectoryEntry } from '../../contract/control/packed-directory';
import type { ToSeed } from '../../contract/control/to-seed';
import type { PeerMessage, Recipient, Sender } from '../../contract/peer/peer-messages';
import type { SeedAccess } from './connection';
import type { Parked } from './parked';

/** The frames of that type. */
export type FrameOf<F, T> = Extract<F, { readonly type: T }>;
export type JoinFrame = FrameOf<ToSeed, 'join'>;
export type JoinContent = Omit<JoinFrame, 'type' | 'directoryDigest'>;
export type PortsFrame = FrameOf<ToSeed, 'ports'>;
export type LeaveFrame = FrameOf<ToSeed, 'leave'>;
export type Welcome = Omit<FrameOf<FromSeed, 'welcome'>, 'directory'> & {
  /** Unpacked, and also when the seed did not send it again. */
  readonly directory: readonly DirectoryEntry[];
};
export type ReportDetail = FrameOf<ToSeed, 'report'>['detail'];
export type Log = (level: 'info' | 'warn' | 'error', message: string, detail?: ReportDetail) => void;

export interface SessionOptions extends SeedAccess {
  /** Local address to connect from. */
  readonly source?: string | (() => string | undefined);
  /** See `ControlOptions.ownPort`. */
  readonly ownPort?: boolean;
  /** Of the session before. It is used, or closed. */
  readonly parked?: Parked;
  /** Made anew for every connection, once it stands, so that it carries the ports of that moment. */
  readonly join: () => JoinContent | Promise<JoinContent>;
  /**
   * After every join that succeeded: the first, and each one after a lost connection. `parked`: it was over the
   * connection that was parked.
   */
  readonly onWelcome?: (welcome: Welcome, how: { readonly parked: boolean }) => void;
  /** A location that this member knows has changed. It is acknowledged when this returns: have it in force by then. */
  readonly onLocation: (location: Location) => void;
  /** A service that this member uses has changed. It is acknowledged when this returns. */
  readonly onService?: (service: FrameOf<FromSeed, 'service'>) => void;
  /** Guests here are likely to connect to that epoch, of which the location has just been sent: `Session.used` tells. */
  readonly onExpected?: (host: string, epoch: number) => void;
  /** That client, which this member watches, is in the cluster no more. */
  readonly onClientGone?: (client: string) => void;
  /** Another member's message. */
  readonly onPeerMessage?: (from: Sender, message: PeerMessage) => void;
  /** The message with this `id` could not be delivered to `to`. */
  readonly onUndeliverable?: (to: Recipient, id: number | undefined, reason: string) => void;
  /** Another member wants a connection through the seed's data port: it has the other token. */
  readonly onRelayed?: (from: Sender, token: string, message: PeerMessage) => void;
  /** A datagram of a client from outside: `decodeOutside` reads it. */
  readonly onOutside?: (bytes: Buffer) => void;
  /** The connection was lost. Locations change unseen from now on: forget them all, so that they are located again. */
  readonly onDisconnect?: () => void;
  /** The host is to be released: end its guests, and leave. The session goes on until then. */
  readonly onRelease?: (reason: string) => void;
  /**
   * The seed ends this session for good: fenced by a newer epoch, the cluster goes down, or the key is no longer
   * accepted.
   */
  readonly onStop: (reason: string, fenced: boolean) => void;
  /** After this many milliseconds without a connection, locates fail with ENETUNREACH. Default 15,000. */
  readonly unreachableAfter?: number;
  readonly signal?: AbortSignal;
  readonly log?: Log;
}

export interface SuspendReply {
  readonly ok: boolean;
  readonly reason?: string;
}
