/** `imaginary join --wait`: holds a guest's start until other hosts have joined. */
import type { ClusterEvent } from '../../../contract/control/from-seed';
import { OPERATOR_IDENTITY } from '../../../contract/control/psk';
import { ControlError, fetchStatus, orderHost, readEvents, type SeedAccess } from '../../control/index';
import { pause } from '../../pause';

/** So many hosts, this one among them; or these. */
export type WaitFor = { readonly count: number } | { readonly names: readonly string[] };

export interface WaitOptions {
  readonly wait: WaitFor;
  /** An operator's, without the identity. */
  readonly access: Omit<SeedAccess, 'identity'>;
  /** Milliseconds. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** Hosts are missing when the time is over, or will never come. */
export class WaitError extends Error {
  readonly code = 'NOT_JOINED';
  constructor(message: string) {
    super(message);
    this.name = 'WaitError';
  }
}

/** Events by which a host is there, and is there no more. */
const COMES = new Set(['joined', 'rejoined', 'running', 'resumed']);
const GOES = new Set(['released', 'exited', 'failed']);
/** Milliseconds between tries while the seed is away. */
const RETRY = 250;

/**
 * Resolves when they have joined, or the signal is aborted. Host functions that are named are started.
 * @throws WaitError that names those that are missing, ControlError when the seed says no
 */
export async function untilJoined({ wait, access, limit, signal }: WaitOptions): Promise<void> {
  const ending = AbortSignal.any([signal, AbortSignal.timeout(limit)]);
  const watch = new Watch(wait, { ...access, identity: OPERATOR_IDENTITY });
  while (!ending.aborted) {
    try {
      if (await watch.untilMet(ending)) return;
    } catch (error) {
      if (!(error instanceof ControlError) || (error.code !== 'unreachable' && error.code !== 'aborted')) throw error;
    }
    await pause(RETRY, ending);
  }
  if (signal.aborted) return;
  // One that was there may be gone.
  await watch.isMet().catch(() => false);
  throw new WaitError(`${watch.missing} within ${limit / 1_000} s`);
}

class Watch {
  readonly #wait: WaitFor;
  readonly #operator: SeedAccess;
  /** By events: of a host that is being allocated they alone say whether it has joined. */
  readonly #joined = new Set<string>();
  #there: readonly string[] = [];
  #reasons = new Map<string, string>();
  #last = 0;
  #started = false;

  constructor(wait: WaitFor, operator: SeedAccess) {
    this.#wait = wait;
    this.#operator = operator;
  }

  get missing(): string {
    const wait = this.#wait;
    if ('count' in wait) {
      return `${this.#there.length} of ${wait.count} hosts (${this.#there.join(', ') || 'none'}) have joined`;
    }
    const missing = wait.names.filter((name) => !this.#there.includes(name));
    const why = (name: string) => (this.#reasons.has(name) ? `${name} (${this.#reasons.get(name)})` : name);
    return `these hosts have not joined: ${missing.map(why).join(', ')};`;
  }

  /** False: the connection has ended. */
  async untilMet(signal: AbortSignal): Promise<boolean> {
    const operator = { ...this.#operator, signal };
    for await (const event of readEvents({ ...operator, follow: false })) this.#note(event);
    if (await this.isMet()) return true;
    this.#startAll();
    for await (const event of readEvents({ ...operator, follow: true })) {
      // The log comes from its start.
      if (this.#note(event) && (await this.isMet())) return true;
    }
    return false;
  }

  /** @returns whether a host has come */
  #note({ time, host, event }: ClusterEvent): boolean {
    if (time <= this.#last || host === null) return false;
    this.#last = time;
    if (GOES.has(event)) this.#joined.delete(host);
    if (!COMES.has(event)) return false;
    this.#joined.add(host);
    return true;
  }

  /** By what the seed says now. */
  async isMet(): Promise<boolean> {
    const wait = this.#wait;
    const { hosts } = await fetchStatus(this.#operator);
    const known = hosts.map(({ name }) => name);
    const wrong = 'names' in wait ? wait.names.find((name) => !known.includes(name)) : undefined;
    if (wrong !== undefined) {
      throw new WaitError(`--wait names '${wrong}', which is no host of the cluster; its hosts: ${known.join(', ')}`);
    }
    if ('count' in wait && wait.count > known.length) {
      throw new WaitError(`--wait is ${wait.count}; allowed: up to ${known.length}, as the cluster has no more hosts`);
    }
    this.#reasons = new Map(hosts.flatMap(({ name, reason }) => (reason === undefined ? [] : [[name, reason]])));
    this.#there = hosts
      .filter(
        ({ name, state }) =>
          state === 'running' || state === 'suspended' || (state === 'allocating' && this.#joined.has(name)),
      )
      .map(({ name }) => name);
    return 'count' in wait ? this.#there.length >= wait.count : wait.names.every((name) => this.#there.includes(name));
  }

  /** An instance starts where it runs: the seed refuses the order, and it is waited for. */
  #startAll(): void {
    if (this.#started || !('names' in this.#wait)) return;
    this.#started = true;
    for (const name of this.#wait.names) orderHost(this.#operator, name, 'start').catch(() => undefined);
  }
}
