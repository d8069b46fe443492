/**
 * An instance's place in the cluster: joins under the host's name with the cluster key, rejoins after each loss, and as
 * a new epoch where the old one has ended without another supervisor.
 */
import { CLIENT_IDENTITY, joinSecret } from '../../../contract/control/psk';
import { ControlError, openSession, type Session } from '../../control/index';
import type { HostRun } from '../run/host-run';
import type { Log } from '../run/log';
import { peerMessageHandlers } from '../run/peer-message-handlers';
import type { RunDir } from '../run/run-dir';

export interface MembershipOptions {
  readonly name: string;
  /** `address:port` of the seed's control network. */
  readonly seed: string;
  /** The same of the cluster's other seed, where there is one. */
  readonly standby?: string;
  /** Reads the newest cluster key. Called before each session, and when the seed no longer accepts one. */
  readonly clusterKey: () => Promise<Uint8Array>;
  readonly flat?: number;
  readonly life: RunDir['life'];
  /** Once it runs. */
  readonly host: () => HostRun | undefined;
  /** The membership has ended, and cannot be had again: another supervisor is the host, or the cluster goes down. */
  readonly onEnd: (reason: string, replaced: boolean) => void;
  readonly log: Log;
  /** Ends the attempts to join. */
  readonly signal: AbortSignal;
}

/** Milliseconds for the first join: a seed that is being restarted is waited for. */
const JOIN_LIMIT = 30_000;

export class Membership {
  readonly #options: MembershipOptions;
  /** The epoch as which this supervisor has joined. */
  #epoch: number | undefined;
  #key: Uint8Array | undefined;
  #session: Session | undefined;
  #left = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** @throws ControlError when the seed says no, or cannot be reached in time */
  async join(): Promise<Session> {
    const { seed } = this.#options;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), JOIN_LIMIT);
    try {
      return await this.#open(limit.signal);
    } catch (error) {
      if (!limit.signal.aborted || !(error instanceof ControlError)) throw error;
      throw new ControlError(
        'unreachable',
        `the seed at ${seed} cannot be reached within ${JOIN_LIMIT / 1_000} s`,
        seed,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** Sends a good-bye. */
  async leave(frame: Parameters<Session['leave']>[0]): Promise<void> {
    this.#left = true;
    await this.#session?.leave(frame);
  }

  close(): void {
    this.#left = true;
    this.#session?.close();
  }

  async #open(limit?: AbortSignal): Promise<Session> {
    const { name, seed, standby, flat, life, host, log, signal } = this.#options;
    const key = await this.#options.clusterKey();
    this.#key = key;
    let joined: Session | undefined;
    const session = await openSession({
      seed,
      standby: standby === undefined ? undefined : { seed: standby },
      identity: CLIENT_IDENTITY,
      secret: (cluster) => {
        if (cluster === undefined) throw new Error('it does not say which cluster it is of');
        return joinSecret(key, cluster, CLIENT_IDENTITY);
      },
      // The guests of an epoch that has ended for the seed go on as the next one.
      join: () => ({ host: name, epoch: this.#epoch, life, born: this.#epoch, ports: host()?.member.ports ?? [] }),
      onWelcome: ({ cluster, self: { epoch } }) => {
        log('info', this.#epoch === undefined ? 'joined the cluster' : 'rejoined the cluster', { cluster, epoch });
        this.#epoch = epoch;
        if (joined) host()?.member.refresh();
      },
      onLocation: (location) => void host()?.member.locations.apply(location),
      ...peerMessageHandlers(() => host()?.member),
      ownPort: flat === undefined,
      onDisconnect: () => host()?.member.locations.forget(),
      onStop: (reason, fenced) => void this.#stopped(reason, fenced),
      signal: limit ? AbortSignal.any([signal, limit]) : signal,
      log,
    });
    joined = session;
    this.#session = session;
    return session;
  }

  /** The seed has ended the session. Its reasons may be over: an epoch that was given up, a key that was replaced. */
  async #stopped(reason: string, fenced: boolean): Promise<void> {
    const { onEnd, log, host, clusterKey } = this.#options;
    host()?.member.detach();
    try {
      if (fenced) this.#epoch = undefined;
      else if (Buffer.compare(await clusterKey(), this.#key!) === 0) return onEnd(reason, false);
      if (this.#left) return;
      log('warn', `joins again: ${reason}`);
      const session = await this.#open();
      if (this.#left) return session.close();
      host()?.member.attach(session);
    } catch (error) {
      if (this.#left) return;
      onEnd(`${reason}; ${(error as Error).message}`, fenced);
    }
  }
}
