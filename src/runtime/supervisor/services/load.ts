/**
 * What this host has to do, where it is in a service: the connections that its guests have accepted, and their CPU time.
 * The seed is sent it when it has changed.
 */
import type { DirectoryEntry } from '../../../contract/control/packed-directory';
import type { NativeAddon } from '../../../native/addon';
import type { ServiceFrames } from '../../control/index';
import { spacing } from '../../spacing';
import type { GuestProcess, GuestProcesses } from '../guest/processes';
import { cpuSince } from '../idle/activity';
import type { OpenHandoff } from '../peers/peer-connections';
import type { OwnPort } from '../sockets/locations';
import { CLOSE, CLOSE_WAIT, LISTEN, type TcpSocket, tcpSockets } from '../sockets/proc-net';

export interface LoadOptions {
  readonly native: Pick<NativeAddon, 'tcpSockets'>;
  readonly ports: () => readonly OwnPort[];
  /** Real addresses that are this host's alone (network `flat`). Empty: connections are handed off. */
  readonly addresses: readonly number[];
  /** Connections that were handed off, either way. */
  readonly handoffs: () => readonly OpenHandoff[];
  /** Absent: CPU does not count in any of its services. */
  readonly processes?: () => GuestProcesses;
  readonly session: () => Pick<ServiceFrames, 'load'> | undefined;
}

/** Milliseconds between two looks. */
const INTERVAL = 100;
/** Where looking is dear (thousands of sockets), look less often: 1 % of the time. */
const SHARE = 0.01;
/** CPU time is looked at every so many looks: it takes reading /proc. */
const CPU_LOOKS = 5;
/** Percent by which CPU use has to change to be news. */
const CPU_STEP = 5;

export class Load {
  readonly #options: LoadOptions;
  readonly #space = spacing(SHARE);
  #timer: NodeJS.Timeout | undefined;
  #sent = { connections: 0, cpu: 0 };
  #cpu = 0;
  #looks = 0;
  #before: { readonly at: number; readonly processes: ReadonlyMap<number, GuestProcess> } | undefined;
  #processes: GuestProcesses | undefined;

  /** Undefined where the host is in no service. */
  static of(host: string, directory: readonly DirectoryEntry[], options: LoadOptions): Load | undefined {
    const own = directory.filter(({ service }) => service?.members.includes(host));
    if (own.length === 0) return undefined;
    const cpu = own.some(({ service }) => service!.maxCpu !== undefined);
    return new Load({ ...options, processes: cpu ? options.processes : undefined });
  }

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#timer = setTimeout(this.#look, INTERVAL).unref();
  }

  /** Joined, for the first time or again: the seed knows nothing. */
  joined(): void {
    this.#sent = { connections: 0, cpu: 0 };
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  readonly #look = (): void => {
    const start = performance.now();
    const session = this.#options.session();
    if (session) this.#report(session, start);
    this.#timer = setTimeout(this.#look, this.#space(performance.now() - start, INTERVAL)).unref();
  };

  #report(session: Pick<ServiceFrames, 'load'>, now: number): void {
    if (this.#looks++ % CPU_LOOKS === 0) this.#measure(now);
    const load = { connections: this.#connections(), cpu: this.#cpu };
    const { connections, cpu } = this.#sent;
    if (load.connections === connections && Math.abs(load.cpu - cpu) < CPU_STEP) return;
    this.#sent = load;
    session.load(load);
  }

  #connections(): number {
    const { native, addresses, handoffs } = this.#options;
    const served = this.#options
      .ports()
      .filter(({ scope, protocol }) => !protocol && (scope === 'any' || scope === 'host'));
    if (served.length === 0) return 0;
    if (addresses.length === 0) {
      const ports = new Set(served.map(({ port }) => port));
      return handoffs().filter(({ localPort }) => ports.has(localPort)).length;
    }
    const ports = new Set(served.map(({ realPort }) => realPort));
    const own = (socket: TcpSocket) => addresses.includes(socket.local) && ports.has(socket.localPort);
    return tcpSockets(native).filter((socket) => own(socket) && isOpen(socket)).length;
  }

  #measure(now: number): void {
    const { processes: track } = this.#options;
    if (!track) return;
    this.#processes ??= track();
    const processes = new Map(this.#processes.list().map((one) => [one.pid, one]));
    const before = this.#before;
    this.#before = { at: now, processes };
    if (!before) return;
    const elapsed = Math.max(1, now - before.at);
    this.#cpu = Math.round((100 * cpuSince(before.processes, processes)) / elapsed);
  }
}

/** Open connections of this host's guests with others, by the virtual address of the other side. */
export function openByPeer(
  native: LoadOptions['native'],
  {
    addresses,
    handoffs,
    virtualOf,
  }: Pick<LoadOptions, 'addresses' | 'handoffs'> & {
    /** Network `flat`: of a real address. */
    readonly virtualOf: (real: number) => number;
  },
): ReadonlyMap<number, number> {
  const open = new Map<number, number>();
  const add = (peer: number) => open.set(peer, (open.get(peer) ?? 0) + 1);
  if (addresses.length === 0) {
    for (const { peer } of handoffs()) add(peer);
    return open;
  }
  for (const socket of tcpSockets(native)) {
    if (addresses.includes(socket.local) && isOpen(socket)) add(virtualOf(socket.remote));
  }
  return open;
}

function isOpen({ state, sendQueue }: TcpSocket): boolean {
  if (state === CLOSE_WAIT) return sendQueue > 0;
  return state !== LISTEN && state !== CLOSE;
}
