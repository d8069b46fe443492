/** How a host joins the cluster for an invocation, and is put into the sandbox unless it runs there already. */
import { setImmediate as turn } from 'node:timers/promises';
import { hostIdentity } from '../../../contract/control/psk';
import type { Invocation } from '../../../contract/platform/invocation';
import { ControlError, openSession, type Session } from '../../control/index';
import type { Mailbox } from '../../mailbox';
import { HostRun } from './host-run';
import { type Event, schedule } from './invocation';
import type { Log } from './log';
import { peerMessageHandlers } from './peer-message-handlers';
import { type SandboxFiles, SupervisorError, type SupervisorSettings } from './settings';

export interface JoinOptions {
  readonly invocation: Invocation;
  readonly events: Mailbox<Event>;
  readonly log: Log;
  /** Milliseconds that this may take; the seed is waited for while it is being restarted. */
  readonly limit: number;
  /** The end of the invocation. */
  readonly signal: AbortSignal;
}

export type Joined = { readonly session: Session; readonly host: HostRun } | { readonly refused: string };

/**
 * For the `onRelease` of a suspended host that is released: its command is in the cluster's network, and the sandbox is
 * nobody's location. Never rejects. @returns undefined: there is no network, and the command runs without
 */
export async function joinToRelease(
  host: HostRun,
  settings: Pick<SupervisorSettings, 'flat'>,
  { invocation, log, limit }: Pick<JoinOptions, 'invocation' | 'log' | 'limit'>,
): Promise<Session | undefined> {
  const { host: name, epoch, seed, standby, secret } = invocation;
  const attempt = new AbortController();
  const timer = setTimeout(() => attempt.abort(), limit);
  try {
    const opened = await openSession({
      seed,
      standby: standby === undefined ? undefined : { seed: standby },
      secret,
      identity: hostIdentity(name, epoch),
      join: () => ({ host: name, epoch, life: host.life, asClient: true, ports: [] }),
      onLocation: (location) => host.member.locations.apply(location),
      ...peerMessageHandlers(() => host.member),
      ownPort: settings.flat === undefined,
      onDisconnect: () => host.member.locations.forget(),
      onStop: () => undefined,
      signal: attempt.signal,
      log,
    });
    host.member.attach(opened);
    return opened;
  } catch (error) {
    log('warn', `onRelease runs without the cluster's network: ${(error as Error).message}`);
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param present a host that runs in the sandbox, or what takes the files that it is to run with
 * @returns `refused` if another epoch of the host is the newer one
 */
export async function join(
  present: HostRun | (() => Promise<SandboxFiles>),
  settings: SupervisorSettings,
  { invocation, events, log, limit, signal }: JoinOptions,
): Promise<Joined> {
  const { host: name, epoch, seed, standby, secret } = invocation;
  const attempt = new AbortController();
  let host = present instanceof HostRun ? present : undefined;
  let session: Session | undefined;
  let taken: Promise<SandboxFiles> | undefined;
  const content = (life: string) => ({ host: name, epoch, life, born: host?.born, ports: host?.member.ports ?? [] });
  schedule(limit, () => !session && attempt.abort(), signal);
  try {
    const opening = openSession({
      seed,
      standby: standby === undefined ? undefined : { seed: standby },
      secret,
      identity: hostIdentity(name, epoch),
      join: () => (host ? content(host.life) : taken!.then(({ runDir }) => content(runDir.life))),
      onWelcome: ({ cluster }, { parked }) => {
        log('info', host ? 'rejoined the cluster' : 'joined the cluster', {
          cluster,
          epoch,
          ...(parked && { parked }),
        });
        if (session) host?.member.refresh();
      },
      onLocation: (location) => void host?.member.locations.apply(location),
      ...peerMessageHandlers(() => host?.member),
      ownPort: settings.flat === undefined,
      parked: host?.takeParked(),
      onDisconnect: () => host?.member.locations.forget(),
      onRelease: (reason) => events.put({ is: 'release', reason }),
      onStop: (reason, fenced) => events.put({ is: 'stopped', reason, fenced }),
      signal: attempt.signal,
      log,
    });
    if (present instanceof HostRun) {
      session = await opening;
      present.member.attach(session);
      return { session, host: present };
    }
    taken = whileAnswering(present);
    const [opened, files] = await Promise.all([opening, taken]);
    session = opened;
    const { welcome } = opened;
    const { host: entry } = welcome;
    if (!entry?.command) throw new SupervisorError('wrong-host', `to the seed '${name}' is not a function host`);
    const seedPort = Number(seed.slice(seed.lastIndexOf(':') + 1));
    host = HostRun.start({ ...settings, ...files, entry, welcome, seedPort, log }, opened);
    return { session: opened, host };
  } catch (error) {
    attempt.abort();
    await taken?.then(
      ({ runDir }) => runDir.remove(),
      () => undefined,
    );
    if (!(error instanceof ControlError)) throw error;
    if (error.code === 'fenced') return { refused: error.message };
    throw new SupervisorError('not-joined', `'${name}' could not join the cluster: ${error.message}`);
  }
}

/** After two turns of the event loop the seed has the first message, and it is at work on the answer. */
async function whileAnswering<T>(act: () => Promise<T>): Promise<T> {
  await turn();
  await turn();
  return act();
}
