/**
 * A host instance: a supervisor that joins by itself, on a machine of the operator's (a VM, a container, a laptop), and
 * runs one guest. Nothing invokes it, idleness does not release it, and it ends when its guest does. For `cli`.
 */
import { joinSecret, OPERATOR_IDENTITY } from '../../../contract/control/psk';
import type { ManifestHost } from '../../../contract/manifest/manifest';
import { loadNative } from '../../../native/addon/load';
import type { Session } from '../../control/index';
import { Mailbox } from '../../mailbox';
import { pause } from '../../pause';
import type { GuestExit } from '../guest/guest';
import { watchIdleness } from '../idle/idleness';
import { endGuests, untold } from '../run/ending';
import { HostRun } from '../run/host-run';
import type { Log } from '../run/log';
import { openRunDir } from '../run/run-dir';
import { type SandboxFiles, SupervisorError, type SupervisorSettings } from '../run/settings';
import { Membership, type MembershipOptions } from './membership';
import { untilJoined, type WaitFor } from './wait-for';

export { ProgramError } from '../guest/program';
export { RunDirBusyError } from '../run/run-dir';
export { SupervisorError } from '../run/settings';
export { WaitError, type WaitFor } from './wait-for';

export interface InstanceOptions
  extends Pick<MembershipOptions, 'name' | 'seed' | 'standby' | 'clusterKey' | 'flat' | 'log'>,
    Pick<SupervisorSettings, 'runDir' | 'environment' | 'nativeDir' | 'shimDir'> {
  /** The guest's command line. Absent or empty: the one in the manifest. */
  readonly command?: readonly string[];
  /** Hosts that the guest's start waits for. */
  readonly wait?: WaitFor;
  /** Milliseconds for that. */
  readonly waitLimit: number;
  /** Aborted: the guest is ended, and the host leaves. */
  readonly signal: AbortSignal;
}

type Event =
  | { readonly is: 'exited'; readonly exit: GuestExit }
  | { readonly is: 'ordered' }
  /** The seed, or another supervisor of this host. */
  | { readonly is: 'ended'; readonly reason: string; readonly replaced: boolean };

/** How long the guest's own end is waited for after it was stopped, in milliseconds. */
const EXIT_LIMIT = 2_000;

/**
 * Runs the instance to its end. @returns how its guest has ended; undefined: it was told to leave before it had one
 * @throws ControlError when it cannot join, SupervisorError without a command, WaitError
 */
export async function runInstance(options: InstanceOptions): Promise<GuestExit | undefined> {
  const { name, log, signal, runDir: path } = options;
  const native = loadNative(options.nativeDir);
  const runDir = await openRunDir(path, native);
  const left = runDir.stopped.join(' ');
  if (left) log('warn', 'guests of a supervisor that died were stopped', { pids: left });
  const events = new Mailbox<Event>();
  let host: HostRun | undefined;
  const joining = new AbortController();
  const onAbort = () => {
    if (!host) joining.abort();
    events.put({ is: 'ordered' });
  };
  if (signal.aborted) joining.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  const membership = new Membership({
    ...options,
    life: runDir.life,
    host: () => host,
    onEnd: (reason, replaced) => {
      if (!host) joining.abort();
      events.put({ is: 'ended', reason, replaced });
    },
    signal: joining.signal,
  });
  try {
    const session = await membership.join();
    const entry = entryOf(name, session, options.command);
    await waitForOthers(options, joining.signal);
    if (!joining.signal.aborted) host = startHost(options, { native, runDir }, entry, membership.session!);
    if (!host) return undefined;
    void host.exited.then((exit) => events.put({ is: 'exited', exit }));
    return await runToEnd({ host, events, membership, log });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await membership.leave({ outcome: 'released' });
    runDir.remove();
  }
}

function entryOf(name: string, { welcome }: Session, command: readonly string[] = []): ManifestHost {
  const { host } = welcome;
  if (!host) throw new SupervisorError('wrong-host', `to the seed '${name}' is no host`);
  if (command.length > 0) return { ...host, command };
  if (host.command) return host;
  throw new SupervisorError('no-command', `'${name}' has no command in the manifest, and none was given`);
}

function startHost(options: InstanceOptions, files: SandboxFiles, entry: ManifestHost, session: Session): HostRun {
  const { seed, flat, environment, shimDir, log } = options;
  const seedPort = Number(seed.slice(seed.lastIndexOf(':') + 1));
  const own = { inheritsOutput: entry.readyWhen.kind !== 'log' };
  const { welcome } = session;
  const run = { ...files, flat, environment, shimDir, own, entry, welcome, seedPort, log, write: writeOf(log) };
  return HostRun.start(run, session);
}

/** What the host's own commands (`onDrain`, `onRelease`) write: lines as they are for a function's log. */
const writeOf = (log: Log) => (text: string) => {
  for (const line of text.trimEnd().split('\n')) log('info', String((JSON.parse(line) as { line?: string }).line));
};

async function waitForOthers(options: InstanceOptions, signal: AbortSignal): Promise<void> {
  const { wait, waitLimit: limit, seed, standby, clusterKey, log } = options;
  if (!wait) return;
  const key = await clusterKey();
  log('info', `waits for ${'count' in wait ? `${wait.count} hosts` : wait.names.join(', ')}`);
  const secret = (cluster: string | undefined) => joinSecret(key, cluster ?? '', OPERATOR_IDENTITY);
  const access = { seed, standby: standby === undefined ? undefined : { seed: standby }, secret };
  await untilJoined({ wait, access, limit, signal });
}

interface Run {
  readonly host: HostRun;
  readonly events: Mailbox<Event>;
  readonly membership: Membership;
  readonly log: Log;
}

async function runToEnd({ host, events, membership, log }: Run): Promise<GuestExit> {
  const watching = new AbortController();
  watch(host, membership, watching.signal);
  const event = await events.take();
  watching.abort();
  if (event.is === 'exited') {
    const { exit } = event;
    await host.end(0);
    const reason = exit.reason ?? (exit.signal ? `ended by ${exit.signal}` : undefined);
    await membership.leave({ outcome: 'exited', exitCode: exit.exitCode, reason });
    return exit;
  }
  const reason = event.is === 'ended' ? event.reason : 'it was told to leave';
  log(event.is === 'ended' ? 'warn' : 'info', `stopping: ${reason}`);
  const why = event.is === 'ended' && event.replaced ? 'replaced' : 'released';
  const report = await endGuests(host, why, () => Number.POSITIVE_INFINITY);
  untold(membership.session, report);
  await membership.leave({ outcome: 'released', reason });
  const waiting = new AbortController();
  const exit = await Promise.race([host.exited, pause(EXIT_LIMIT, waiting.signal)]);
  waiting.abort();
  return exit ?? { exitCode: null, signal: 'SIGKILL' };
}

/** An instance is never idle. What its guests do is looked at: for `imaginary ps`, and for listeners that are closed. */
function watch(host: HostRun, membership: Membership, signal: AbortSignal): void {
  const { idleTimeout, releasePolicy } = host.entry;
  const look = (thorough: boolean) => host.look(thorough);
  const onHeld: Parameters<typeof watchIdleness>[0]['onHeld'] = (by, what) => membership.session?.held(by, what);
  const again = () => watch(host, membership, signal);
  if (!signal.aborted) watchIdleness({ idleTimeout, releasePolicy, look, onHeld, onIdle: again }, signal);
}
