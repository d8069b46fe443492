/**
 * A host that lives in this sandbox: its guest, and its membership of the network. It outlives the invocations that started
 * and resumed it.
 */
import type { ManifestHost } from '../../../contract/manifest/manifest';
import type { NativeAddon } from '../../../native/addon';
import { createGuard } from '../../control/guard';
import type { Welcome } from '../../control/index';
import { type Guest, type GuestExit, startGuest } from '../guest/guest';
import { ProgramError } from '../guest/program';
import { type Activity, watchActivity, watchStarting } from '../idle/activity';
import { busyNow, type Look } from '../idle/idleness';
import type { Log, Write } from './log';
import { createMember, type Member, type MemberSession } from './member';
import type { RunDir } from './run-dir';

export interface LifeOptions {
  readonly entry: ManifestHost;
  readonly welcome: Welcome;
  readonly native: NativeAddon;
  readonly runDir: RunDir;
  readonly flat?: number;
  readonly seedPort: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly shimDir?: string;
  readonly log: Log;
  readonly write: Write;
}

export interface Life {
  /** See `RunDir.life`. */
  readonly name: string;
  readonly entry: ManifestHost;
  readonly member: Member;
  /** Absent: the command could not be started; `exited` says why. */
  readonly guest?: Guest;
  readonly exited: Promise<GuestExit>;
  /** `exited` has come about. */
  readonly ended: boolean;
  /** What the guests are doing, compared with the last look. Closed listeners are dropped. */
  look(): Look;
  /** Whether something keeps the host from being suspended at this moment. */
  isNeeded(): boolean;
  /** Stops the guests and gives back what the host used. */
  end(grace: number): Promise<void>;
}

const NOTHING: Activity = { cpu: 0, connections: 0, moved: false, queued: 0, closed: () => undefined, sockets: [] };

const UNSEEN: Look = { ...NOTHING, pending: 1 };

/** Puts a host into the sandbox: first its network, then its guest. */
export function startLife(options: LifeOptions, session: MemberSession): Life {
  const { entry, native, runDir, log } = options;
  let starting = (): boolean => false;
  const member = createMember({
    ...options,
    settleTime: entry.settleTime,
    starting: () => starting(),
    asClient: false,
  });
  member.attach(session);

  const fail = (error: ProgramError): Life => {
    const reason = `host '${entry.name}': ${error.message}`;
    log('error', reason, { file: error.file, code: error.code });
    return {
      name: runDir.life,
      entry,
      member,
      exited: Promise.resolve({ exitCode: error.exitCode, signal: null, reason }),
      ended: true,
      look: () => ({ ...NOTHING, pending: 0 }),
      isNeeded: () => true,
      end: async () => member.close(),
    };
  };
  let guest: Guest;
  try {
    guest = startGuest({ ...options, host: entry });
  } catch (error) {
    if (error instanceof ProgramError) return fail(error);
    member.close();
    throw error;
  }
  starting = watchStarting(guest.processes);
  const command = entry.command!.join(' ');
  log('info', 'the guest was started', { pid: guest.pid, command });
  session.report('guest-started', { pid: guest.pid, command });

  let activity: () => Activity = watchActivity({
    processes: guest.processes,
    native,
    addresses: member.addresses,
    seedPort: options.seedPort,
  });
  let traffic = member.traffic();
  const guard = createGuard(log);
  const lookNow = (): Look => {
    const now = activity();
    member.listeners.check(now.sockets);
    const count = member.traffic();
    const datagrams = count !== traffic;
    traffic = count;
    const { asks, transports, resolver } = member;
    return { ...now, datagrams, pending: asks.pending + transports.pending + resolver.pending };
  };
  /** What cannot be looked at, for want of descriptors or memory, counts as busy: the next look is soon. */
  const look = (): Look => {
    let seen = UNSEEN;
    guard('a look at the guests', () => {
      seen = lookNow();
    });
    return { ...seen, closed: () => lastClosed(seen) };
  };
  const lastClosed = (seen: Look) => {
    let closed: number | undefined = 0;
    guard('a look at closed connections', () => {
      closed = seen.closed();
    });
    return closed;
  };
  let ended = false;
  void guest.exited.then(() => {
    ended = true;
  });
  return {
    name: runDir.life,
    entry,
    member,
    guest,
    exited: guest.exited,
    get ended() {
      return ended;
    },
    look,
    isNeeded: () => busyNow(look(), entry.releasePolicy) !== undefined,
    end: async (grace) => {
      activity = () => NOTHING;
      await guest.stop(grace);
      member.close();
    },
  };
}
