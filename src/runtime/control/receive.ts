/** What a session does with each frame of the seed's. */
import type { FromSeed } from '../../contract/control/from-seed';
import type { ToSeed } from '../../contract/control/to-seed';
import type { Coordination } from './coordination';
import { LocateError, type Locates } from './locates';
import type { Relays } from './relays';
import type { FrameOf, SessionOptions } from './session-options';
import type { Standstill } from './standstill';

/** What comes to a session: `welcome` and `refuse` end the join. */
export type SessionFrame = Exclude<FromSeed, { type: 'welcome' | 'refuse' }>;

/** Who waits for what. */
export interface Receivers {
  readonly options: SessionOptions;
  readonly locates: Locates;
  readonly relays: Relays;
  readonly coordination: Coordination;
  readonly standstill: Standstill;
  readonly acknowledge: (frame: FrameOf<ToSeed, 'ack'>) => void;
  readonly renew: (secret: string) => void;
  readonly stop: (reason: string, fenced: boolean) => void;
  /** A frame that nobody waits for. */
  readonly unasked: (frame: SessionFrame) => void;
}

type Table = { readonly [Type in SessionFrame['type']]: (frame: FrameOf<SessionFrame, Type>) => void };

/** The table does not compile without a line for each type of frame. */
export function receive(receivers: Receivers): (frame: SessionFrame) => void {
  const { options, locates, relays, coordination, standstill, acknowledge, renew, stop, unasked } = receivers;
  const table: Table = {
    located: ({ id, location, realPort }) => locates.settle(id, { location, realPort }),
    unreachable: ({ id, errno, reason }) => locates.settle(id, new LocateError(errno, reason)),
    location: ({ location, version }) => {
      options.onLocation(location);
      acknowledge({ type: 'ack', host: location.host, version });
    },
    service: (frame) => {
      options.onService?.(frame);
      acknowledge({ type: 'ack', host: frame.service, version: frame.version });
    },
    expected: ({ host, epoch }) => options.onExpected?.(host, epoch),
    clientGone: ({ client }) => options.onClientGone?.(client),
    peerMessage: ({ from, message }) => options.onPeerMessage?.(from, message),
    undeliverable: ({ to, id, reason }) => options.onUndeliverable?.(to, id, reason),
    relayed: ({ from, token, message }) => options.onRelayed?.(from, token, message),
    relayReply: (frame) => relays.settle(frame),
    members: (frame) => coordination.onFrame(frame),
    barrierReply: (frame) => coordination.onFrame(frame),
    parked: () => standstill.parked(true),
    suspendReply: (frame) => standstill.suspended(frame),
    secret: ({ secret }) => renew(secret),
    release: ({ reason }) => options.onRelease?.(reason),
    stop: ({ reason, fenced }) => stop(reason, fenced),
    // Of operators' sessions.
    commandReply: unasked,
    reloaded: unasked,
    statusReply: unasked,
    edgesReply: unasked,
    event: unasked,
    eventsEnd: unasked,
  };
  return (frame) => (table[frame.type] as (frame: SessionFrame) => void)(frame);
}
