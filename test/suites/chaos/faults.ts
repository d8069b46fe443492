/** Carries the planned faults out, and remembers from when to when each lasted. */
import type { ChildProcess } from 'node:child_process';
import type { Faults as NetworkFaults } from '../../../src/local';
import type { TestCluster } from '../../support/cluster';
import { signal } from '../../support/processes';
import type { Kind, PlannedFault } from './plan';
import { Processes, type Sandbox } from './sandboxes';

/** Something that went wrong on purpose, by the time of day. */
export interface Fault {
  readonly kind: Kind;
  /** A host or a client. Undefined: all of the cluster. */
  readonly host?: string;
  readonly from: number;
  /** Until it is over; undefined while it is not. */
  until?: number;
}

export interface FaultContext {
  readonly cluster: TestCluster;
  readonly name: string;
  readonly platform: number;
  /** Network `nat`. */
  readonly network?: NetworkFaults;
  readonly clients: () => ReadonlyMap<string, ChildProcess>;
  readonly tell: (line: string) => void;
}

export class Faults {
  readonly #context: FaultContext;
  readonly #done: Fault[] = [];
  readonly #pending = new Set<Promise<void>>();
  /** Hosts that something is wrong with already. */
  readonly #hurt = new Set<string>();
  #missed = 0;

  constructor(context: FaultContext) {
    this.#context = context;
  }

  get all(): readonly Fault[] {
    return this.#done;
  }

  /** Faults for which there was nobody to hit. */
  get missed(): number {
    return this.#missed;
  }

  /** Resolves when all that lasts is over. */
  async over(): Promise<void> {
    await Promise.all(this.#pending);
  }

  inject(planned: PlannedFault): void {
    const hit = this.#hit(planned).catch((error: Error) => {
      this.#missed++;
      this.#context.tell(`${planned.kind}: ${error.message}`);
    });
    this.#pending.add(hit);
    void hit.then(() => this.#pending.delete(hit));
  }

  async #hit({ kind, pick, lasts }: PlannedFault): Promise<void> {
    const { cluster, name, platform, network, clients } = this.#context;
    const processes = new Processes(platform);
    const sandboxes = processes.sandboxes(name).filter(({ host }) => !this.#hurt.has(host));
    const one = <T>(of: readonly T[]): T | undefined => of[Math.floor(pick * of.length)];
    const sandbox = (which: (sandbox: Sandbox) => boolean = () => true): Sandbox => {
      const found = one(sandboxes.filter(which).sort((a, b) => a.host.localeCompare(b.host)));
      if (!found) throw new Error('nobody to hit');
      return found;
    };
    const up = async () => {
      const states = new Map((await cluster.ps()).map((host) => [host.name, host.state]));
      return sandbox(({ host }) => states.get(host) === 'running' || states.get(host) === 'allocating');
    };
    const guestsOf = ({ guests }: Sandbox) => guests.length > 0;
    switch (kind) {
      case 'kill-guest':
      case 'stop-guest': {
        const { host, guests } = sandbox(guestsOf);
        return this.#moment(kind, host, () => signal(guests, kind === 'kill-guest' ? 'SIGKILL' : 'SIGTERM'));
      }
      case 'order-stop': {
        const { host } = sandbox();
        return this.#during(kind, host, async () => void (await cluster.imaginary(['stop', host])));
      }
      case 'kill-supervisor': {
        const { host, supervisor } = sandbox();
        return this.#moment(kind, host, () => signal([supervisor], 'SIGKILL'));
      }
      case 'pause-supervisor':
      case 'pause-sandbox': {
        const { host, supervisor, all } = await up();
        const paused = kind === 'pause-sandbox' ? all : [supervisor];
        return this.#during(kind, host, async () => {
          signal(paused, 'SIGSTOP');
          await pause(lasts);
          signal(paused, 'SIGCONT');
        });
      }
      case 'kill-sandbox': {
        const { host, all } = sandbox();
        return this.#moment(kind, host, () => signal(all, 'SIGKILL'));
      }
      case 'kill-launcher': {
        const { host, launcher } = sandbox();
        return this.#moment(kind, host, () => signal([launcher], 'SIGKILL'));
      }
      case 'kill-seed': {
        if (processes.seed === undefined) throw new Error('no seed runs');
        return this.#moment(kind, undefined, () => signal([processes.seed!], 'SIGKILL'));
      }
      case 'kill-client': {
        const client = one([...clients()]);
        if (!client) throw new Error('no client runs');
        const [by, child] = client;
        return this.#moment(kind, by, () => void child.kill('SIGKILL'));
      }
      case 'cut-all':
        return this.#during(kind, undefined, async () => {
          await network!.cut(true);
          await pause(lasts);
          await network!.cut(false);
        });
      case 'cut-host': {
        const { host } = await up();
        return this.#during(kind, host, async () => {
          await network!.cut(true, host);
          await pause(lasts);
          await network!.cut(false, host);
        });
      }
      case 'vanish': {
        const { host, all } = await up();
        return this.#during(kind, host, async () => {
          await network!.cut(true, host);
          signal(all, 'SIGKILL');
          // Its slot is given back with the last of it: until then all that the kernel sends for the dead is dropped.
          await pause(500);
          await network!.cut(false, host);
        });
      }
      case 'forget': {
        const { host } = sandbox();
        return this.#during(kind, host, () => network!.forget(host));
      }
      case 'move': {
        const { host } = sandbox();
        return this.#during(kind, host, async () => void (await network!.move(host)));
      }
      case 'refuse': {
        const { host } = await up();
        return this.#during(kind, host, async () => {
          await network!.refuse(host, true);
          await pause(lasts);
          await network!.refuse(host, false);
        });
      }
      default:
        return kind satisfies never;
    }
  }

  #moment(kind: Kind, host: string | undefined, act: () => void): Promise<void> {
    return this.#during(kind, host, async () => act());
  }

  async #during(kind: Kind, host: string | undefined, act: () => Promise<void>): Promise<void> {
    const fault: Fault = { kind, host, from: Date.now() };
    this.#done.push(fault);
    this.#context.tell(host === undefined ? kind : `${kind} ${host}`);
    if (host !== undefined) this.#hurt.add(host);
    try {
      await act();
    } finally {
      fault.until = Date.now();
      if (host !== undefined) this.#hurt.delete(host);
    }
  }
}

/** How long the fault lasts: there is no event to wait for. */
const pause = (milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds));
