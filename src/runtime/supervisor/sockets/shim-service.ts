/** Answers the shims of this host's guests. */

import {
  BadRequestError,
  decodeRequest,
  encodeReply,
  RESOLVER_ADDRESS,
  type ShimReply,
  type ShimRequest,
} from '../../../contract/abi/shim';
import { ERRNO } from '../../../contract/control/errno';
import { formatAddress, parseAddress } from '../../../contract/manifest/address';
import type { NativeAddon, NativeConnector, ShimSocket } from '../../../native/addon';
import type { Guard } from '../../control/guard';
import { AskError } from '../../control/index';
import type { Destination, GuestConnect, TransportResult } from '../../transport/transport';
import type { Datagrams } from '../datagrams/datagrams';
import type { Resolver } from '../names/resolver';
import type { Log } from '../run/log';
import type { Listeners } from './listeners';
import type { Locations } from './locations';
import type { Locator } from './locator';

export interface ShimServiceOptions {
  readonly native: Pick<NativeAddon, 'openShimSocket' | 'reply' | 'closeDescriptor'>;
  /** Path of the Unix socket. */
  readonly path: string;
  readonly locations: Locations;
  readonly locator: Locator;
  readonly listeners: Listeners;
  readonly datagrams: Pick<Datagrams, 'send'>;
  /** Connects a guest to another host. */
  readonly connect: (guest: GuestConnect) => Promise<TransportResult>;
  /** How long a connect to that host may take, from the guest's call on, in milliseconds. */
  readonly limitOf: (host: string) => number;
  /** Answers what it can before this service sees it. */
  readonly connector?: NativeConnector;
  readonly resolver: Pick<Resolver, 'open'>;
  /** This is not the host whose address it has: what is not served here is asked for. */
  readonly asClient: boolean;
  /** Stands for an address that is not bound to any: where this host reaches itself. */
  readonly ownReal: number;
  readonly guard: Guard;
  readonly log: Log;
}

export interface ShimService {
  close(): void;
}

/** How often the callers that wait are looked after: a process that has died waits no longer. */
const SWEEP = 1_000;

const RESOLVER = parseAddress(RESOLVER_ADDRESS)!;
/**
 * A host that runs and cannot be reached is tried again for so long (milliseconds), as natively a SYN is sent again: its NAT or
 * the network may have lost what was agreed on, which takes its supervisor a while to find out.
 */
const PATIENCE = 25_000;
const PAUSE = 500;
/** The seed's own word comes first: it says why. */
const SEED_FIRST = 250;
/** Calls that have been answered, and may be asked again because the answer led nowhere. */
const MOST_ANSWERED = 1_024;
/** A connection that its shim cannot take is asked for again within this time. */
const TAKING = 1_000;

type Connect = Extract<ShimRequest, { op: 'connect' }>;
/** One connect of a guest's, from its first request on. */
interface Call extends Pick<Connect, 'address' | 'port' | 'epoch'> {
  /** `performance.now()` */
  readonly since: number;
}
/** What becomes of a request: a reply, none, or one that somebody else has sent or will send. */
type Outcome = ShimReply | 'none' | 'elsewhere';
const ECONNABORTED = 103;
const refused: ShimReply = { status: ERRNO.ECONNREFUSED };

export function openShimService(options: ShimServiceOptions): ShimService {
  const { native, locations, locator, listeners, log } = options;
  const waiting = new Map<AbortController, number>();
  const answered = new Map<bigint, Call & { readonly until: number }>();
  let complained = false;
  let sweeper: NodeJS.Timeout | undefined;

  const sweep = () => {
    for (const [caller, pid] of waiting) if (!isAlive(pid)) caller.abort();
    sweeper = waiting.size > 0 ? setTimeout(sweep, SWEEP) : undefined;
  };

  /** Where it is, as far as is known here or to the seed, which brings it up if need be. @throws AskError */
  const whereIs = async (
    host: string,
    port: number,
    { signal, since }: { signal: AbortSignal; since: number },
  ): Promise<Destination> => {
    const known = locations.find(host, port);
    if (known) return known;
    const { location, realPort } = await locator.locate(host, port, {
      staleEpoch: locations.distrusted(host),
      signal,
      since,
    });
    locations.apply(location);
    return { location, port, realPort };
  };

  const failed = (to: string, errno: keyof typeof ERRNO, reason: string): ShimReply => {
    log('info', `${to} cannot be connected to: ${reason}`, { to, errno, reason });
    return { status: ERRNO[errno] };
  };

  const connectTo = async (
    host: string,
    guest: Omit<GuestConnect, keyof Destination>,
    { port, since }: Call,
  ): Promise<Outcome> => {
    let until = since + options.limitOf(host);
    for (let failures = 0; ; failures++) {
      const destination = await whereIs(host, port, { signal: guest.signal, since });
      const result = await options.connect({ ...guest, ...destination });
      if (result.by === 'direct') return { status: 0, ...result };
      if (result.by !== 'none') return 'elsewhere';
      log('warn', `${host}:${port} cannot be connected to: ${result.reason}`);
      if (failures === 0) until = Math.min(until, performance.now() + PATIENCE);
      if (guest.signal.aborted || performance.now() + PAUSE > until)
        return failed(`${host}:${port}`, 'EHOSTUNREACH', result.reason);
      // It may be somewhere else meanwhile.
      locations.distrust(host, destination.location.epoch);
      await pause(guest.signal);
    }
  };

  /** The guest's call that a request is of. A shim sends another request when the answer led nowhere, which is the same call. */
  const callOf = ({ cookie, address, port, epoch }: Connect): Call => {
    const now = performance.now();
    const before = answered.get(cookie);
    answered.delete(cookie);
    const same = before?.address === address && before.port === port && before.epoch === epoch && now < before.until;
    return { address, port, epoch, since: same ? before.since : now };
  };

  const remember = (cookie: bigint, call: Call, host: string, outcome: Outcome) => {
    const direct = typeof outcome === 'object' && 'epoch' in outcome ? outcome : undefined;
    if (!direct && outcome !== 'elsewhere') return;
    const until = direct ? call.since + options.limitOf(host) : performance.now() + TAKING;
    answered.set(cookie, { ...call, epoch: direct ? direct.epoch : call.epoch, until });
    for (const [oldest] of answered) if (answered.size > MOST_ANSWERED) answered.delete(oldest);
  };

  const connect = async (request: Connect, replyTo: number): Promise<Outcome> => {
    const { address, port, pid, epoch, sourcePort } = request;
    if (address === locations.self) {
      const own = listeners.find(port);
      if (own) return { status: 0, real: own.real, realPort: own.realPort, epoch: 0 };
      if (!options.asClient) return failed(`port ${port} of this host`, 'ECONNREFUSED', 'nothing listens there');
    }
    if (address === RESOLVER) return (await options.resolver.open()) ? { status: 0 } : refused;
    const host = locations.hostAt(address);
    // An address of the cluster's network that is nobody's.
    if (host === undefined) {
      const text = formatAddress(address);
      return failed(`${text}:${port}`, 'EHOSTUNREACH', `no host of the cluster has the address ${text}`);
    }
    // As natively. The seed takes no question about such a port.
    if (port === 0) return failed(`${host}:0`, 'ECONNREFUSED', 'nothing listens on port 0');
    if (epoch !== 0) locations.distrust(host, epoch);
    const caller = new AbortController();
    waiting.set(caller, pid);
    sweeper ??= setTimeout(sweep, SWEEP);
    const guest = { address, sourcePort, replyTo, signal: caller.signal };
    const call = callOf(request);
    const limit = options.limitOf(host);
    const late = new AskError(
      'ETIMEDOUT',
      `the seed has not answered, and ${limit} ms (allocationTimeout) have passed`,
    );
    const left = call.since + limit + SEED_FIRST - performance.now();
    const deadline = setTimeout(() => caller.abort(late), left);
    try {
      const outcome = await connectTo(host, guest, call);
      remember(request.cookie, call, host, outcome);
      return outcome;
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      return failed(`${host}:${port}`, error.errno, error.message);
    } finally {
      clearTimeout(deadline);
      waiting.delete(caller);
    }
  };

  const handle = (request: ShimRequest, replyTo: number): Outcome | Promise<Outcome> => {
    switch (request.op) {
      case 'connect':
        return connect(request, replyTo);
      case 'accept':
        return { status: ECONNABORTED };
      case 'listen': {
        const { port, realPort, scope, protocol, address } = request;
        const real = request.real || options.ownReal;
        listeners.add({ port, real, realPort, scope, ...(protocol && { protocol }), ...(address && { address }) });
        return { status: 0 };
      }
      case 'stale': {
        const host = locations.hostAt(request.address);
        if (host !== undefined) locations.distrust(host, request.epoch);
        return 'none';
      }
      case 'datagram':
        return 'none';
      case 'log':
        log('warn', request.text, { from: 'shim', pid: request.pid });
        return 'none';
    }
  };

  const decode = (message: Buffer): ShimRequest | undefined => {
    try {
      return decodeRequest(message);
    } catch (error) {
      if (!(error instanceof BadRequestError)) throw error;
      if (!complained) log('warn', error.message);
      complained = true;
      return undefined;
    }
  };
  const onMessage = (message: Buffer, [replyTo, ...others]: readonly number[]) => {
    for (const fd of others) native.closeDescriptor(fd);
    const answer = (outcome: Outcome) => {
      if (replyTo === undefined || outcome === 'elsewhere') return;
      if (outcome === 'none') native.closeDescriptor(replyTo);
      else native.reply(replyTo, encodeReply(outcome), []);
    };
    const act = () => {
      const request = decode(message);
      if (!request) return answer('none');
      // What came along is the guest's own socket.
      if (request.op === 'datagram' && replyTo !== undefined) return options.datagrams.send(request, replyTo);
      // Nobody can be connected who does not say where to answer.
      if (request.op === 'connect' && replyTo === undefined) return;
      const outcome = handle(request, replyTo ?? -1);
      return outcome instanceof Promise ? outcome.then(answer) : answer(outcome);
    };
    options.guard("a request of a guest's shim", act, () => answer('none'));
  };
  const socket: ShimSocket = native.openShimSocket(options.path, onMessage, options.connector);

  return {
    close: () => {
      socket.close();
      clearTimeout(sweeper);
      for (const caller of waiting.keys()) caller.abort();
    },
  };
}

/** Ends early when the signal is aborted. */
function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, PAUSE);
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
}

/** A pid of 0 is a sender that does not say who it is. */
function isAlive(pid: number): boolean {
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
