/**
 * Data for suspended hosts that no member can see waiting: what goes through the relay, which acknowledges it at once,
 * and on network `flat`, where the kernel of a frozen process does. Looked for only while a host is suspended.
 */

import { spacing } from '../../spacing';

/** One open connection of a suspended host. */
export interface Sent {
  /** Names the connection for good. */
  readonly key: string;
  /** Who sends, for events. */
  readonly by: string;
  /** The host's epoch that it is a connection of; 0: the present one. */
  readonly epoch: number;
  /** Bytes that were sent to the host so far. */
  readonly bytes: number;
  /** Some of them the host has not taken yet. */
  readonly waits: boolean;
}

export interface WaitingDataOptions {
  /** Names of the hosts that are suspended now. */
  readonly suspended: () => readonly string[];
  /** The open connections of a host, one kind after the other. */
  readonly sentTo: (host: string) => Iterable<Sent>;
  /** Called again and again while the host stays suspended. */
  readonly onData: (host: string, by: string, epoch: number) => void;
}

type Bytes = ReadonlyMap<string, number>;

interface Sleeper {
  asleep: boolean;
  /** As of the moment at which the host asked to be suspended, until it is. */
  asked?: { readonly at: number; readonly bytes: Bytes };
  /** By connection: the bytes that woke it last, or that had come when it fell asleep. More than these wake it. */
  known: Bytes;
  /** As of the last look. */
  latest: Bytes;
}

const INTERVAL = 50;
/** Where looking is dear (thousands of connections), look less often: 1 % of the time. */
const SHARE = 0.01;
/** A host that has asked to be suspended and is not after this time (milliseconds) has stayed. */
const ASKED_LIMIT = 10_000;

export class WaitingData {
  readonly #options: WaitingDataOptions;
  readonly #hosts = new Map<string, Sleeper>();
  readonly #space = spacing(SHARE);
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WaitingDataOptions) {
    this.#options = options;
  }

  /**
   * A host asks to be suspended. It looks at its connections once more before it goes, and stays if anything has moved:
   * what moves after that came before the freeze, and its guests may have read it without having answered it.
   */
  asks(name: string): void {
    const bytes = new Map([...this.#options.sentTo(name)].map((sent) => [sent.key, sent.bytes]));
    this.#sleeper(name).asked = { at: performance.now(), bytes };
  }

  /** A host may have been suspended. */
  look = (): void => {
    clearTimeout(this.#timer);
    const start = performance.now();
    const suspended = this.#options.suspended();
    for (const [name, host] of this.#hosts) if (!suspended.includes(name)) awaken(host);
    for (const name of suspended) this.#lookAt(name);
    if (suspended.length === 0) return;
    const cost = performance.now() - start;
    this.#timer = setTimeout(this.look, this.#space(cost, INTERVAL));
  };

  close(): void {
    clearTimeout(this.#timer);
  }

  #sleeper(name: string): Sleeper {
    const host = this.#hosts.get(name) ?? { asleep: false, known: new Map(), latest: new Map() };
    this.#hosts.set(name, host);
    return host;
  }

  #lookAt(name: string): void {
    const host = this.#sleeper(name);
    const sent = [...this.#options.sentTo(name)];
    host.latest = new Map(sent.map(({ key, bytes }) => [key, bytes]));
    const { asleep, known } = host;
    const asked = host.asked && performance.now() - host.asked.at < ASKED_LIMIT ? host.asked.bytes : undefined;
    host.asked = undefined;
    const moved = ({ key, bytes }: Sent) => asleep || (asked !== undefined && bytes > (asked.get(key) ?? 0));
    // What waits from the start on came at the last moment; or the guest does not read, and was woken for it before.
    const found = sent.find((one) => one.bytes > (known.get(one.key) ?? 0) && (one.waits || moved(one)));
    if (!asleep && !found) host.known = host.latest;
    host.asleep = true;
    if (found) this.#options.onData(name, found.by, found.epoch);
  }
}

function awaken(host: Sleeper): void {
  if (host.asleep) host.known = host.latest;
  host.asleep = false;
}
