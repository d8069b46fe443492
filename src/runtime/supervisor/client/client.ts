/**
 * A supervisor for one command of the operator's: joins a running cluster as a client (or under the name of a declared
 * host) and serves the shim under that command. No life cycle: it lasts as long as its caller keeps it. For `cli`.
 */

import { RUN_DIR_ENV } from '../../../contract/abi/shim';
import { namesOf } from '../../../contract/abi/table';
import { CLIENT_IDENTITY } from '../../../contract/control/psk';
import { loadNative } from '../../../native/addon/load';
import { openSession } from '../../control/index';
import { nodeEnvironment } from '../files/node-files';
import { findShim, underShim } from '../guest/environment';
import { inspectCommand } from '../guest/program';
import type { Log } from '../run/log';
import { Member } from '../run/member';
import { peerMessageHandlers } from '../run/peer-message-handlers';
import { openRunDir } from '../run/run-dir';

export { ProgramError } from '../guest/program';

export interface ClientOptions {
  /** `address:port` of the seed's control network. */
  readonly seed: string;
  /** The same of the cluster's other seed, where there is one. */
  readonly standby?: string;
  /** Secret of the identity `client`: `joinSecret` of the cluster key, see contract/control/psk. Called for each connection with the name that the seed says. */
  readonly secret: (cluster: string | undefined) => string;
  /** Act under this host's name and address. Default: an address of its own from the cluster's client range. */
  readonly as?: string;
  /** Network `flat`: the cluster's number N. Absent: not flat. */
  readonly flat?: number;
  /** The command's host name is the kernel's, in a namespace of its own where it may be changed. */
  readonly kernelName?: boolean;
  /** Folder for the files that guests map; made when missing, emptied of its own files by `close`. */
  readonly runDir: string;
  /** Where `native.node` is. Default: beside the bundle, else the built layer. */
  readonly nativeDir?: string;
  /** Where `shim-glibc.so` and `shim-musl.so` are. Default: beside the bundle, else the built layer. */
  readonly shimDir?: string;
  /** Messages of shims and of the supervisor itself, one line each. Default: nothing is shown. */
  readonly log?: (line: string) => void;
  /** Called for every connect of the command that fails. */
  readonly onRefused?: (refusal: { readonly to: string; readonly errno: string; readonly reason: string }) => void;
  /** Ends the attempt to join, and later the client. */
  readonly signal?: AbortSignal;
}

export interface Client {
  readonly self: { readonly name: string; readonly address: string };
  /** To be added to the environment of every child: where the run directory is. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * The whole environment for one command: `base` plus `env` plus LD_PRELOAD (in front of one that is there) with the
   * shim for the libc of the program that the command starts.
   * @throws ProgramError when there is no such program or preloading cannot reach it; `message` says why
   */
  environmentFor(
    command: readonly string[],
    base: Readonly<Record<string, string | undefined>>,
    cwd?: string,
  ): Record<string, string>;
  /** The host that has this name, alias or `node-ID`, with or without the cluster's name behind it. */
  find(name: string): { readonly name: string; readonly address: string } | undefined;
  /** The shim for a program file. @throws ProgramError */
  shimFor(path: string): string;
  /** Rejects when the seed ends this client's membership (the cluster goes down). Never resolves. */
  readonly ended: Promise<never>;
  close(): Promise<void>;
}

/** How long the datagrams of a command that has ended are held for hosts that come up, in milliseconds. */
const LINGER = 15_000;

/** The seed has ended the membership of a client. */
export class ClientEndedError extends Error {
  readonly code = 'CLIENT_ENDED';
  constructor(readonly reason: string) {
    super(`the cluster has ended this command's membership: ${reason}`);
    this.name = 'ClientEndedError';
  }
}

/**
 * Joins a running cluster.
 * @throws ControlError when the seed cannot be reached before `signal` is aborted, or refuses
 */
export async function startClient(options: ClientOptions): Promise<Client> {
  const { seed, standby, secret, as, flat } = options;
  const log: Log = (_level, message, { to, errno, reason } = {}) => {
    options.log?.(message);
    if (to && errno) options.onRefused?.({ to: String(to), errno: String(errno), reason: String(reason) });
  };
  const native = loadNative(options.nativeDir);
  let member: Member | undefined;
  let end: (error: Error) => void = () => undefined;
  const ended = new Promise<never>((_, reject) => {
    end = reject;
  });
  // A caller need not look at it.
  ended.catch(() => undefined);

  const session = await openSession({
    seed,
    standby: standby === undefined ? undefined : { seed: standby },
    secret,
    identity: CLIENT_IDENTITY,
    join: () => ({ ...(as === undefined ? {} : { host: as, asClient: true }), ports: [] }),
    onWelcome: () => member?.refresh(),
    onLocation: (location) => void member?.locations.apply(location),
    ...peerMessageHandlers(() => member),
    ownPort: flat === undefined,
    onDisconnect: () => member?.locations.forget(),
    onStop: (reason) => end(new ClientEndedError(reason)),
    signal: options.signal,
    log,
  });
  try {
    const runDir = await openRunDir(options.runDir, native);
    member = new Member({
      native,
      runDir,
      welcome: session.welcome,
      flat,
      settleTime: 0,
      asClient: as !== undefined,
      kernelName: options.kernelName,
      log,
    });
  } catch (error) {
    session.close();
    throw error;
  }
  const joined = member;
  const { welcome } = session;
  joined.attach(session);
  // While the command starts.
  joined.expectConnect();

  const env = { ...nodeEnvironment(session.welcome.self, options.runDir), [RUN_DIR_ENV]: options.runDir };
  const shimFor = (path: string) => findShim(inspectCommand([path]).libc, options.shimDir);
  const close = async () => {
    // As natively: what a program has sent goes out even if the program has ended.
    await joined.datagrams.drained(AbortSignal.timeout(LINGER));
    joined.close();
    await session.leave({ outcome: 'released' });
  };
  return {
    self: { name: session.welcome.self.name, address: session.welcome.self.address },
    env,
    environmentFor: (command, base, cwd = process.cwd()) => {
      const { libc } = inspectCommand(command, base.PATH, cwd);
      return underShim({ ...base, ...env }, options.runDir, findShim(libc, options.shimDir));
    },
    find: (name) =>
      welcome.directory.find((entry) =>
        namesOf(entry, welcome.cluster).includes(name.toLowerCase().replace(/\.$/, '')),
      ),
    shimFor,
    ended,
    close,
  };
}
