/** The processes of one cluster's platform, found anew at each look: all are descendants of the platform's. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Sandbox {
  /** The host whose function it is. */
  readonly host: string;
  readonly launcher: number;
  /** The runtime client, which the supervisor is in. */
  readonly supervisor: number;
  /** The supervisor's children. */
  readonly guests: readonly number[];
  /** Their command lines. */
  readonly commands: readonly string[];
  /** All but the launcher. */
  readonly all: readonly number[];
}

interface Found {
  readonly pid: number;
  readonly parent: number;
  readonly zombie: boolean;
  readonly words: readonly string[];
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended
  }
};

function look(pid: number): Found | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === '') return undefined;
  // What stands before the state is a name that may contain anything.
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const words = read(`/proc/${pid}/cmdline`).split('\0');
  return { pid, parent: Number(parent), zombie: state === 'Z', words };
}

export class Processes {
  readonly #children = new Map<number, Found[]>();
  readonly #platform: number;

  constructor(platform: number) {
    this.#platform = platform;
    for (const name of readdirSync('/proc')) {
      const found = /^\d+$/.test(name) ? look(Number(name)) : undefined;
      if (!found || found.zombie) continue;
      const siblings = this.#children.get(found.parent);
      if (siblings) siblings.push(found);
      else this.#children.set(found.parent, [found]);
    }
  }

  below(pid: number): number[] {
    return this.#below(pid).map((found) => found.pid);
  }

  /** The seed itself, not its launcher. */
  get seed(): number | undefined {
    return this.#below(this.#platform).find(({ words }) => words[1]?.endsWith('/seed.js'))?.pid;
  }

  /** Below a client on network `nat`, the process that is in the network. */
  get inside(): number | undefined {
    return this.#below(this.#platform).find(({ words }) => words.includes('--inside') && words[0].endsWith('node'))
      ?.pid;
  }

  /** @param clusterName functions are called CLUSTER-HOST */
  sandboxes(clusterName: string): Sandbox[] {
    const launchers = (this.#children.get(this.#platform) ?? []).filter(({ words }) => words[1] === '--control');
    return launchers.flatMap(({ pid: launcher }) => {
      const inside = this.#below(launcher);
      const supervisor = inside.find(({ words }) => words[1]?.endsWith('/bootstrap.js'))?.pid;
      if (supervisor === undefined) return [];
      const name = /(?:^|\0)AWS_LAMBDA_FUNCTION_NAME=([^\0]*)/.exec(read(`/proc/${supervisor}/environ`))?.[1];
      if (!name?.startsWith(`${clusterName}-`)) return [];
      const children = this.#children.get(supervisor) ?? [];
      const guests = children.map(({ pid }) => pid);
      const commands = children.map(({ words }) => words.join(' '));
      return [
        {
          host: name.slice(clusterName.length + 1),
          launcher,
          supervisor,
          guests,
          commands,
          all: inside.map(({ pid }) => pid),
        },
      ];
    });
  }

  #below(pid: number): Found[] {
    const found = [...(this.#children.get(pid) ?? [])];
    for (const one of found) found.push(...(this.#children.get(one.pid) ?? []));
    return found;
  }
}

export function openDescriptors(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0; // it has ended
  }
}

/** Resident memory that no other process shares, in bytes. */
export function privateMemory(pid: number): number {
  const lines = read(`/proc/${pid}/smaps_rollup`).matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm);
  return [...lines].reduce((sum, [, kilobytes]) => sum + Number(kilobytes) * 1024, 0);
}
