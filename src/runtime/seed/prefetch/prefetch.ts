/** Starts the hosts that a host is about to connect to, in the moment in which it is started itself. */
import type { Manifest } from '../../../contract/manifest';
import type { Machine } from '../machine/interpreter';
import { isUp } from '../machine/state';
import type { EventLog } from '../operators/events';
import { type EdgeChange, type EdgeReport, Edges } from './edges';

/** Edges are learnt while a host is allocated, and in so many milliseconds from when it runs. */
const LEARN_FOR = 10_000;

/** Names of the events. */
const EVENT = {
  learnt: 'edge-learnt',
  hit: 'prefetch-used',
  missed: 'prefetch-unused',
  forgotten: 'edge-forgotten',
} as const satisfies Record<EdgeChange['type'], string>;

export class Prefetch {
  readonly #edges: Edges;
  readonly #hosts: ReadonlyMap<string, Machine>;
  readonly #events: EventLog;
  readonly #clock: () => number;
  readonly #expect: ((from: string, to: Machine) => boolean) | undefined;
  #queue: Array<{ readonly from: string; readonly targets: readonly string[] }> = [];
  #next: NodeJS.Immediate | undefined;

  /**
   * @param expect sends the host `from` where `to` is, if both are there. Absent: nobody is sent that
   * @param clock milliseconds, of the machines
   */
  constructor(
    { cluster, hosts }: Pick<Manifest, 'cluster' | 'hosts'>,
    machines: ReadonlyMap<string, Machine>,
    events: EventLog,
    expect?: (from: string, to: Machine) => boolean,
    clock: () => number = () => performance.now(),
  ) {
    this.#expect = expect;
    this.#edges = new Edges(hosts, cluster.prefetch);
    this.#hosts = machines;
    this.#events = events;
    this.#clock = clock;
  }

  /** A host is allocated anew, and its invocation is sent. */
  started(host: string): void {
    const targets = this.#edges.started(host);
    if (targets.length === 0) return;
    this.#queue.push({ from: host, targets });
    // Connects that wait for room come first: those that the same event has set free, too.
    this.#next ??= setImmediate(() => this.#run());
  }

  /** A host is up no more. @param ran it was running before */
  ended(host: string, ran: boolean): void {
    const idle = this.#hosts.get(host)?.state.phase.state === 'suspended';
    this.#report(this.#edges.ended(host, this.#clock(), { ran, idle }));
  }

  /**
   * Something of the host has changed. Once both ends of a guess run, its start is sent where its end is: that is in
   * nobody's way any more, and a connect need not locate it.
   */
  changed(host: string): void {
    if (!this.#expect) return;
    for (const { from, to } of this.#edges.untold(host)) {
      const target = this.#hosts.get(to);
      if (!target || this.#hosts.get(from)?.state.phase.state !== 'running') continue;
      if (this.#expect(from, target)) this.#edges.told(to);
    }
  }

  /** A member connects to `to`. @param from the host that it is; undefined: a client */
  located(from: string | undefined, to: string): void {
    const at = this.#clock();
    this.#report(this.#edges.connected(from, to, at, from !== undefined && this.#isRecent(from, at)));
  }

  edges(): EdgeReport[] {
    return this.#edges.report(this.#clock());
  }

  close(): void {
    clearImmediate(this.#next);
    this.#queue = [];
  }

  #run(): void {
    this.#next = undefined;
    // What these start has edges of its own: they come next.
    for (const { from, targets } of this.#queue.splice(0)) {
      for (const to of targets) {
        const machine = this.#hosts.get(to);
        if (!machine || isUp(machine.state)) continue;
        machine.handle({ type: 'prefetch', by: from });
        if (isUp(machine.state)) this.#edges.guessed(from, to, this.#clock());
      }
    }
  }

  #isRecent(host: string, at: number): boolean {
    const { phase, stateSince } = this.#hosts.get(host)!.state;
    return phase.state === 'allocating' || (phase.state === 'running' && at - stateSince <= LEARN_FOR);
  }

  #report(changes: readonly EdgeChange[]): void {
    for (const { type, from, ...detail } of changes) this.#events.emit(from, EVENT[type], detail);
  }
}
