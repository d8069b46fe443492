/**
 * How a session gets the connection that its member has joined over: the one that the last session has left, or another
 * one; of two seeds, to the one that serves.
 */
import type { FromSeed } from '../../contract/control/from-seed';
import type { NatReport } from '../../contract/peer/peer-messages';
import {
  type Control,
  ControlError,
  type ControlHandlers,
  handOver,
  openControl,
  type SeedAccess,
  type SeedEndpoint,
  STANDBY_HEARTBEAT,
} from './connection';
import { connectToFirst } from './endpoints';
import type { ParkedOptions } from './parked';
import type { FrameOf, JoinFrame, SessionOptions } from './session-options';

/** What a session has to do with its connections. */
export interface Joining {
  readonly options: SessionOptions;
  /** The end of the session. */
  readonly signal: AbortSignal;
  /** Of two, the one that served last comes first. */
  readonly seeds: readonly SeedEndpoint[];
  readonly secret: SeedAccess['secret'];
  readonly joinFrame: () => JoinFrame | Promise<JoinFrame>;
  /** Called at once: what comes next may come with it. */
  readonly onWelcome: (control: Control, endpoint: SeedEndpoint, welcome: FrameOf<FromSeed, 'welcome'>) => void;
  readonly onFrame: (frame: Exclude<FromSeed, { type: 'welcome' | 'refuse' }>) => void;
  readonly onBytes?: (bytes: Buffer) => void;
  /** A connection has ended, and this was not our doing. */
  readonly onEnd: (control: Control | undefined, reason: string) => void;
  /** An attempt has failed, and there will be another one. */
  readonly onFailure: (error: ControlError) => void;
}

/**
 * Milliseconds that a parked connection has before another one is made as well. That takes several round trips, so the
 * parked one still comes first where it is slow, and not dead.
 */
const HEAD_START = 25;

/**
 * One connection, from join to welcome. @param kept it is tried first
 * @throws ControlError
 */
export function joinOnce(joining: Joining, kept?: ParkedOptions): Promise<void> {
  const { signal, joinFrame, onWelcome } = joining;
  return new Promise((resolve, reject) => {
    /** Aborted when the parked connection has decided it. */
    const dialing = new AbortController();
    const welcomed: Outcome['welcomed'] = (control, endpoint, welcome) =>
      resolve(onWelcome(control, endpoint, welcome));
    const refused = (error: ControlError) => {
      if (dialing.signal.aborted) return;
      kept?.control.destroy();
      reject(error);
    };
    const dial = () => {
      const given = kept ? AbortSignal.any([signal, dialing.signal]) : signal;
      connectToSeed(joining, given, { welcomed, refused }).then((opened) => {
        if (dialing.signal.aborted) return opened.destroy();
        // From here on there is no way back: the seed hears one `join` after the other.
        kept?.control.destroy();
        sendJoin(opened, joinFrame(), reject);
      }, refused);
    };
    if (!kept) return dial();
    const decide = () => dialing.abort();
    joinOver(joining, kept, {
      dial,
      welcomed: (...welcome) => {
        decide();
        welcomed(...welcome);
      },
      refused: (error) => {
        decide();
        reject(error);
      },
    });
  });
}

interface Outcome {
  readonly welcomed: Joining['onWelcome'];
  /** Called, too, when the connection is lost before the welcome. */
  readonly refused: (error: ControlError) => void;
}

/** Joins over a connection that is there already. If it is dead, or does not answer soon, `dial` makes another one. */
function joinOver(
  joining: Joining,
  { control, endpoint, nat }: ParkedOptions,
  { dial, welcomed, refused }: Outcome & { readonly dial: () => void },
): void {
  let waits = true;
  const end = () => {
    clearTimeout(timer);
    const waited = waits;
    waits = false;
    return waited;
  };
  const timer = setTimeout(() => end() && dial(), HEAD_START);
  const outcome: Outcome = {
    welcomed: (...welcome) => {
      end();
      welcomed(...welcome);
    },
    refused: (error) => {
      if (error.code === 'unreachable') return void (end() && dial());
      end();
      refused(error);
    },
  };
  handOver(
    control,
    handlersOf(joining, endpoint, joining.signal, () => control, outcome),
  );
  sendJoin(control, joining.joinFrame(), refused, nat);
}

/** At once, where all of it is known. @param nat as the seed knew it */
function sendJoin(
  control: Control,
  frame: JoinFrame | Promise<JoinFrame>,
  failed: (error: ControlError) => void,
  nat?: NatReport,
): void {
  const send = (known: JoinFrame) => control.send({ ...known, ...(nat && { nat }) });
  if (frame instanceof Promise) frame.then(send, failed);
  else send(frame);
}

function connectToSeed(joining: Joining, signal: AbortSignal, outcome: Outcome): Promise<Control> {
  const { seeds, onFailure } = joining;
  const connect = (endpoint: SeedEndpoint, given: AbortSignal) => connectTo(joining, endpoint, given, outcome);
  const [only, ...others] = seeds;
  return others.length === 0 ? connect(only, signal) : connectToFirst({ endpoints: seeds, signal, onFailure }, connect);
}

async function connectTo(
  joining: Joining,
  endpoint: SeedEndpoint,
  signal: AbortSignal,
  outcome: Outcome,
): Promise<Control> {
  const { options, secret, seeds } = joining;
  const { source } = options;
  let fresh: Control | undefined;
  fresh = await openControl({
    ...options,
    ...handlersOf(joining, endpoint, signal, () => fresh, outcome),
    seed: endpoint.seed,
    path: endpoint.path,
    secret,
    heartbeat: seeds.length > 1 ? STANDBY_HEARTBEAT : undefined,
    source: typeof source === 'function' ? source() : source,
  });
  return fresh;
}

function handlersOf(
  joining: Joining,
  endpoint: SeedEndpoint,
  signal: AbortSignal,
  control: () => Control | undefined,
  { welcomed, refused }: Outcome,
): ControlHandlers {
  const { seed } = endpoint;
  return {
    signal,
    onFrame: (frame) => {
      if (frame.type === 'welcome') welcomed(control()!, endpoint, frame);
      else if (frame.type === 'refuse') {
        refused(new ControlError(frame.fenced ? 'fenced' : 'refused', frame.reason, seed));
      } else joining.onFrame(frame);
    },
    onBytes: joining.onBytes,
    onClose: ({ error }) => {
      // Another connection was first.
      if (signal.aborted && !joining.signal.aborted) return;
      const why = error?.message ?? 'it closed the connection';
      refused(new ControlError('unreachable', `the seed at ${seed} was lost: ${why}`, seed));
      joining.onEnd(control(), error?.message ?? 'closed by the seed');
    },
  };
}
