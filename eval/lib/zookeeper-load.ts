/** The read load of `examples/zookeeper/load.py`: its orders, and throughput over time. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export const NODES = ['zk-1', 'zk-2', 'zk-3'];

/** How much has been read of each node by then. */
interface Sample {
  /** `performance.now()` */
  readonly at: number;
  readonly reads: Readonly<Record<string, number>>;
}

/** Throughput counts as recovered for as long as it is this part of what it was. */
const RECOVERED = 0.9;
/** Milliseconds of steady throughput: before the fault, and after it. */
const STEADY = 2_000;
/** The first of them: a mean over all of them would begin before the node is back. */
const FIRST = 500;

export class ZooKeeperLoad {
  readonly #child: ChildProcess;
  readonly #samples: Sample[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #answers: Array<(line: string) => void> = [];
  #ended: string | undefined;
  #errors = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{')) return this.#answers.shift()?.(line);
      this.#samples.push({ at: performance.now(), reads: JSON.parse(line) });
      this.#wake();
    });
    child.stderr!.on('data', (data) => {
      this.#errors = `${this.#errors}${data}`.slice(-2_000);
    });
    child.on('close', (code) => {
      this.#ended = `the load has ended with exit code ${code}: ${this.#errors}`;
      this.#wake();
    });
  }

  end(): void {
    this.#child.kill();
  }

  async order(order: string): Promise<string[]> {
    const answer = new Promise<string>((resolve) => this.#answers.push(resolve));
    this.#child.stdin!.write(`${order}\n`);
    return (await answer).split(' ').slice(1);
  }

  /** The node that leads, once exactly one does. */
  async leader(): Promise<string> {
    for (;;) {
      const leaders = await this.order('leader');
      if (leaders.length === 1) return leaders[0];
      await this.#next();
    }
  }

  /** Until all nodes are read from, and as much as in the second before. @returns reads a second */
  async steady(limit = 120_000): Promise<number> {
    await this.#until(limit, 'a steady load', () => {
      const now = this.#rate(this.#last - STEADY, this.#last);
      const before = this.#rate(this.#last - 2 * STEADY, this.#last - STEADY);
      return this.#all(this.#last - 2 * STEADY) && now > 0 && Math.abs(now - before) < 0.1 * now;
    });
    return this.#rate(this.#last - STEADY, this.#last);
  }

  /** @returns milliseconds from `since` until all nodes are read from, and throughput is nearly what it was, and stays */
  async recovered(since: number, usual: number, limit = 120_000): Promise<number> {
    let found = Number.NaN;
    await this.#until(limit, 'throughput as it was', () => {
      const isUsual = (from: number, to: number) => this.#rate(from, to) >= RECOVERED * usual;
      const start = this.#samples.find(
        ({ at }) =>
          at > since &&
          at + STEADY <= this.#last &&
          this.#all(at) &&
          isUsual(at, at + FIRST) &&
          isUsual(at, at + STEADY),
      );
      if (start) found = start.at - since;
      return start !== undefined;
    });
    return found;
  }

  /** Reads a second, in steps of so many milliseconds. */
  timeline(from: number, to: number, step: number): number[] {
    const steps = Math.floor((to - from) / step);
    return Array.from({ length: steps }, (_, i) => Math.round(this.#rate(from + i * step, from + (i + 1) * step)));
  }

  get #last(): number {
    return this.#samples.at(-1)?.at ?? 0;
  }

  /** Each node was read from in the first time after `from`. */
  #all(from: number): boolean {
    const [first, then] = [this.#at(from), this.#at(from + FIRST)];
    return first !== undefined && then !== undefined && NODES.every((name) => then.reads[name] > first.reads[name]);
  }

  #rate(from: number, to: number): number {
    const [first, then] = [this.#at(from), this.#at(to)];
    if (!first || !then || then === first) return 0;
    const total = ({ reads }: Sample) => NODES.reduce((sum, name) => sum + reads[name], 0);
    return ((total(then) - total(first)) * 1_000) / (then.at - first.at);
  }

  /** The last sample by then. */
  #at(time: number): Sample | undefined {
    for (let i = this.#samples.length - 1; i >= 0; i--) if (this.#samples[i].at <= time) return this.#samples[i];
    return undefined;
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  #next(): Promise<void> {
    return this.#until(
      10_000,
      'a sample',
      (() => {
        const { length } = this.#samples;
        return () => this.#samples.length > length;
      })(),
    );
  }

  #until(limit: number, what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        if (error) reject(error);
        else resolve();
      };
      const look = () => {
        if (holds()) settle();
        else if (this.#ended !== undefined) settle(new Error(`${what}: ${this.#ended}`));
      };
      const timer = setTimeout(() => settle(new Error(`not within ${limit} ms: ${what}`)), limit);
      this.#watchers.add(look);
      look();
    });
  }
}
