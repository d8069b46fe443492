/** Connects of guests: where the host is, by which transport it is reached, and what the guest is answered. */
import { RESOLVER_ADDRESS, type ShimReply, type ShimRequest } from '../../../contract/abi/shim';
import { ERRNO } from '../../../contract/control/errno';
import { formatAddress, parseAddress } from '../../../contract/manifest/address';
import { afterReading } from '../../after-reading';
import { LocateError } from '../../control/index';
import { pause } from '../../pause';
import type { Why } from '../../services/choice';
import type { Destination, GuestConnect, TransportResult } from '../../transport/transport';
import type { Resolver } from '../names/resolver';
import type { Log } from '../run/log';
import type { Services } from '../services/services';
import type { ExpectedHosts } from './expected-hosts';
import type { Listeners } from './listeners';
import type { Locations } from './locations';
import type { Locator } from './locator';

export interface GuestConnectsOptions {
  readonly locations: Locations;
  readonly locator: Locator;
  readonly expected: Pick<ExpectedHosts, 'used'>;
  readonly services: Services;
  readonly listeners: Listeners;
  /** Connects a guest to another host. */
  readonly connect: (guest: GuestConnect) => Promise<TransportResult>;
  /** How long a connect to that host or service may take, from the guest's call on, in milliseconds. */
  readonly limitOf: (host: string) => number;
  readonly resolver: Pick<Resolver, 'open'>;
  /** Called once: a guest waits for a host, and for so long that the host is being allocated or resumed. */
  readonly onWait?: () => void;
  /** A client under a host's address: a port that is not served here is located. */
  readonly asClient: boolean;
  readonly log: Log;
}

/** How often the callers that wait are looked after: a process that has died waits no longer. */
const SWEEP = 1_000;

const RESOLVER = parseAddress(RESOLVER_ADDRESS)!;
/**
 * A host that runs and cannot be reached is tried again after so many milliseconds, until the connect's deadline, as
 * natively a SYN is sent again: its NAT or the network may have lost what was agreed on, or its connection to the seed.
 */
const PAUSE = 500;
/** The seed's own answer comes first: it has a reason. */
const SEED_FIRST = 250;
/** Calls that have been answered, and may be repeated because the answer led nowhere. */
const MOST_ANSWERED = 1_024;
/** A seed answers for a host that runs within this time, in milliseconds. */
const LONG = 3;
/** A connection that its shim cannot take is requested again within this time. */
const TAKING = 1_000;

type Connect = Extract<ShimRequest, { op: 'connect' }>;
/** One connect of a guest's, from its first request on. */
interface Call extends Pick<Connect, 'address' | 'port' | 'epoch'> {
  /** `performance.now()` */
  readonly since: number;
  /** Of a connect to a service. */
  readonly tries: Tries;
}
/** What becomes of a request: a reply, none, or one that another part has sent or will send. */
export type Outcome = ShimReply | 'none' | 'elsewhere';

/**
 * A host of a service that runs is located at once. One that takes longer, in milliseconds, may be gone unnoticed, or it
 * is an instance that has just left and would be waited for: the others come first.
 */
const AT_ONCE = 2_000;
/** Reasons to choose a host that runs. */
const RUNS: ReadonlySet<Why> = new Set(['instance', 'least', 'undrained', 'full']);

/** What a connect to a service has tried. */
interface Tries {
  /** Hosts that it is not led to any more, in this round. */
  readonly hosts: Set<string>;
  rounds: number;
  /** Where its shim was led to last. */
  led?: string;
  /** How the last of them failed. */
  errno: keyof typeof ERRNO;
  reason: string;
  /** One of them may have been dead, and only that: it is imagined again. */
  unsure: boolean;
}
const newTries = (): Tries => ({
  ...{ hosts: new Set(), rounds: 0, unsure: false },
  ...{ errno: 'EHOSTUNREACH', reason: 'it has no hosts' },
});

/** @returns `led`: the epoch that the call was led to */
type Attempt = (
  to: string,
  guest: Omit<GuestConnect, keyof Destination>,
  call: Call,
) => Promise<{ outcome: Outcome; led?: number }>;

/** A call that has been answered. */
interface Answered extends Call {
  /** A request with one of these epochs repeats it: it was led there, and did not get a connection that stands. */
  readonly repeats: readonly number[];
  /** `performance.now()`: a repetition comes before that. */
  readonly until: number;
}

export class GuestConnects {
  readonly #options: GuestConnectsOptions;
  /** Callers that wait, with the process of each. */
  readonly #waiting = new Map<AbortController, number>();
  readonly #answered = new Map<bigint, Answered>();
  #sweeper: NodeJS.Timeout | undefined;
  #hasWaited = false;

  constructor(options: GuestConnectsOptions) {
    this.#options = options;
  }

  async connect(request: Connect, replyTo: number): Promise<Outcome> {
    const { address, port, epoch } = request;
    const { locations, listeners, resolver, services } = this.#options;
    if (address === locations.self) {
      const own = listeners.find(port);
      if (own) return { status: 0, real: own.real, realPort: own.realPort, epoch: 0 };
      if (!this.#options.asClient) {
        return this.#failed(`port ${port} of this host`, 'ECONNREFUSED', 'nothing listens there');
      }
    }
    if (address === RESOLVER) return { status: (await resolver.open()) ? 0 : ERRNO.ECONNREFUSED };
    const service = services.at(address);
    if (service !== undefined && port !== 0) return this.#connectTo(service, request, replyTo, this.#attemptAny);
    const host = service ?? locations.hostAt(address);
    // An address of the cluster's network that is nobody's.
    if (host === undefined) {
      const text = formatAddress(address);
      return this.#failed(`${text}:${port}`, 'EHOSTUNREACH', `no host of the cluster has the address ${text}`);
    }
    // As natively. The seed refuses such a port.
    if (port === 0) return this.#failed(`${host}:0`, 'ECONNREFUSED', 'nothing listens on port 0');
    if (epoch !== 0) locations.distrust(host, epoch);
    return this.#connectTo(host, request, replyTo, this.#attempt);
  }

  close(): void {
    clearTimeout(this.#sweeper);
    for (const caller of this.#waiting.keys()) caller.abort();
  }

  /** Until the host is connected to, or the time of the guest's call has passed. */
  async #connectTo(host: string, request: Connect, replyTo: number, attempt: Attempt): Promise<Outcome> {
    const { address, port, pid, sourcePort } = request;
    const caller = new AbortController();
    this.#waiting.set(caller, pid);
    this.#sweeper ??= setTimeout(this.#sweep, SWEEP);
    const call = this.#callOf(request);
    const limit = this.#options.limitOf(host);
    const late = new LocateError(
      'ETIMEDOUT',
      `the seed has not answered, and ${limit} ms (allocationTimeout) have passed`,
    );
    const left = call.since + limit + SEED_FIRST - performance.now();
    const deadline = setTimeout(() => caller.abort(late), left);
    try {
      const { outcome, led } = await attempt(host, { address, sourcePort, replyTo, signal: caller.signal }, call);
      if (led !== undefined) this.#remember(request.cookie, call, host, outcome, led);
      return outcome;
    } catch (error) {
      if (!(error instanceof LocateError)) throw error;
      return this.#failed(`${host}:${port}`, error.errno, error.message);
    } finally {
      clearTimeout(deadline);
      this.#waiting.delete(caller);
    }
  }

  readonly #attempt: Attempt = async (host, guest, call) => {
    const { locations, log } = this.#options;
    const { port, since } = call;
    const until = since + this.#options.limitOf(host);
    /** The epoch that the guest was refused by, until its end may have been reported. */
    let refusedBy = call.epoch;
    /** The last epoch that was not there. */
    let absent: number | undefined;
    for (;;) {
      const destination = await this.#locate(host, port, { signal: guest.signal, since });
      if (refusedBy !== 0 && refusedBy === destination.location.epoch) {
        // A guest that has just died refuses before the seed knows of its end: one that is there refuses again.
        refusedBy = 0;
        locations.distrust(host, destination.location.epoch);
        await pause(PAUSE, guest.signal);
        continue;
      }
      const result = await this.#options.connect({ ...guest, ...destination });
      const led = destination.location.epoch;
      if (result.by === 'direct') return { outcome: { status: 0, ...result }, led };
      if (result.by !== 'none') return { outcome: 'elsewhere', led };
      log('warn', `${host}:${port} cannot be connected to: ${result.reason}`);
      if (guest.signal.aborted || performance.now() + PAUSE > until) {
        return { outcome: this.#failed(`${host}:${port}`, 'EHOSTUNREACH', result.reason) };
      }
      // The host may have another location meanwhile.
      locations.distrust(host, led);
      // The seed knows that it has lost that epoch: the locate waits there for it or for the next one, and allocates.
      const justGone = result.absent && led !== absent;
      absent = led;
      if (!justGone) await pause(PAUSE, guest.signal);
    }
  };

  /** The same for a service: one host after the other. A host that fails costs no pause while there is another. */
  readonly #attemptAny: Attempt = async (service, guest, call) => {
    const { locations, services, log } = this.#options;
    const { port, since, tries } = call;
    const { signal } = guest;
    const until = since + this.#options.limitOf(service);
    for (;;) {
      await services.known(service, signal);
      const choice = services.choose(service, port, tries.hosts);
      if (!choice) {
        // What has just died refuses before the seed knows of its end: all of them are asked twice.
        const again = tries.unsure && (tries.errno !== 'ECONNREFUSED' || tries.rounds === 0);
        if (!again || performance.now() + PAUSE > until) {
          return { outcome: this.#failed(`${service}:${port}`, tries.errno, tries.reason) };
        }
        tries.rounds += 1;
        tries.hosts.clear();
        await pause(PAUSE, signal);
        continue;
      }
      const host = choice.name;
      const own = this.#ownPort(host, port);
      if (own) {
        services.led(service, host);
        return { outcome: own };
      }
      const isAsked = tries.rounds === 0 && RUNS.has(choice.why) && !locations.find(host, port);
      const late = isAsked ? AbortSignal.timeout(AT_ONCE) : undefined;
      try {
        const waits = late ? AbortSignal.any([signal, late]) : signal;
        const destination = await this.#locate(host, port, { signal: waits, since });
        const result = await this.#options.connect({ ...guest, ...destination, address: services.addressOf(host) });
        const led = destination.location.epoch;
        if (result.by !== 'none') {
          tries.led = host;
          services.led(service, host);
          if (result.by === 'direct') return { outcome: { status: 0, ...result, chosen: true }, led };
          return { outcome: 'elsewhere', led };
        }
        log('warn', `${host}:${port}, of service '${service}', cannot be connected to: ${result.reason}`);
        locations.distrust(host, led);
        services.failed(service, host);
        inVain(host, tries, { errno: 'EHOSTUNREACH', message: result.reason, unsure: true });
      } catch (error) {
        services.failed(service, host);
        if (!(error instanceof LocateError)) throw error;
        inVain(host, tries, late?.aborted ? { errno: 'ETIMEDOUT', message: 'it is not found', unsure: true } : error);
        if (signal.aborted) throw error;
      }
    }
  };

  /** A host that is in the service, and chosen for its own guest. */
  #ownPort(host: string, port: number): ShimReply | undefined {
    const { services, locations, listeners, asClient } = this.#options;
    if (asClient || services.addressOf(host) !== locations.self) return undefined;
    const own = listeners.find(port);
    return own && { status: 0, real: own.real, realPort: own.realPort, epoch: 0, chosen: true };
  }

  /**
   * The location, as far as it is known here or to the seed, which allocates the host if need be. @throws LocateError
   */
  async #locate(host: string, port: number, caller: { signal: AbortSignal; since: number }): Promise<Destination> {
    const { locations, locator, expected } = this.#options;
    const known = locations.find(host, port);
    if (known) {
      expected.used(host);
      return known;
    }
    const staleEpoch = locations.distrusted(host);
    const giveUp = this.#hasWaited ? () => undefined : afterReading(LONG, this.#onWait);
    const located = locator.locate(host, port, { staleEpoch, ...caller });
    const { location, realPort } = await located.finally(giveUp);
    locations.apply(location);
    return { location, port, realPort };
  }

  #failed(to: string, errno: keyof typeof ERRNO, reason: string): ShimReply {
    this.#options.log('info', `${to} cannot be connected to: ${reason}`, { to, errno, reason });
    return { status: ERRNO[errno] };
  }

  /**
   * The guest's call that a request is of. A shim sends another request when the answer led nowhere, which is the same
   * call.
   */
  #callOf({ cookie, address, port, epoch }: Connect): Call {
    const now = performance.now();
    const before = this.#answered.get(cookie);
    this.#answered.delete(cookie);
    const same = before?.address === address && before.port === port && now < before.until;
    if (!same || !before.repeats.includes(epoch)) return { address, port, epoch, since: now, tries: newTries() };
    const { since, tries } = before;
    const service = this.#options.services.at(address);
    const { led } = tries;
    if (service !== undefined && led !== undefined) {
      tries.led = undefined;
      this.#options.locations.distrust(led, epoch);
      this.#options.services.refused(service, led);
      inVain(led, tries, { errno: 'ECONNREFUSED', message: 'it refuses', unsure: true });
    }
    return { address, port, epoch, since, tries };
  }

  #remember(cookie: bigint, call: Call, host: string, outcome: Outcome, led: number): void {
    const answered = this.#answered;
    const elsewhere = outcome === 'elsewhere';
    const until = elsewhere ? performance.now() + TAKING : call.since + this.#options.limitOf(host);
    answered.set(cookie, { ...call, repeats: elsewhere ? [call.epoch, led] : [led], until });
    for (const [oldest] of answered) if (answered.size > MOST_ANSWERED) answered.delete(oldest);
  }

  readonly #onWait = (): void => {
    if (this.#hasWaited) return;
    this.#hasWaited = true;
    this.#options.onWait?.();
  };

  readonly #sweep = (): void => {
    for (const [caller, pid] of this.#waiting) if (!isAlive(pid)) caller.abort();
    this.#sweeper = this.#waiting.size > 0 ? setTimeout(this.#sweep, SWEEP) : undefined;
  };
}

function inVain(
  host: string,
  tries: Tries,
  { errno, message, unsure }: Pick<LocateError, 'errno' | 'message'> & { readonly unsure?: boolean },
): void {
  tries.hosts.add(host);
  tries.errno = errno;
  tries.reason = `${host}, the last of its hosts: ${message}`;
  tries.unsure ||= unsure === true;
}

/** A pid of 0 is a sender without one. */
function isAlive(pid: number): boolean {
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
