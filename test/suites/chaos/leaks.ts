/** What a cluster may have left behind: everything of a state directory bears its prefix, or was seen in its processes. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shortTmp } from '../../../src/local';
import { Processes } from './sandboxes';

/** Sees which processes and namespaces a platform has, as often as it is told to. */
export class Witness {
  readonly #platform: number;
  readonly #spaces = new Set<string>();
  readonly #own = new Set(spacesOf(process.pid));

  constructor(platform: number) {
    this.#platform = platform;
  }

  look(): void {
    for (const pid of new Processes(this.#platform).below(this.#platform)) {
      for (const space of spacesOf(pid)) if (!this.#own.has(space)) this.#spaces.add(space);
    }
  }

  get spaces(): ReadonlySet<string> {
    return this.#spaces;
  }
}

function spacesOf(pid: number | string): string[] {
  try {
    return readdirSync(`/proc/${pid}/ns`).map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
  } catch {
    return []; // it has ended
  }
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
};

const alive = (pid: string) => !/^State:\s+Z/m.test(read(`/proc/${pid}/status`));

/**
 * After `down`.
 * @param prefix of the state directory
 * @returns what is left, each in words
 */
export function leftBehind(prefix: string, state: string, { spaces }: Witness): string[] {
  const left: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const line = read(`/proc/${pid}/cmdline`).split('\0').filter(Boolean).join(' ');
    const named = line.includes(prefix) || line.includes(state) || read(`/proc/${pid}/environ`).includes(prefix);
    if (named && alive(pid)) left.push(`process ${pid}: ${line.slice(0, 100)}`);
    for (const space of spacesOf(pid)) if (spaces.has(space)) left.push(`namespace ${space}, of process ${pid}`);
  }
  for (const folder of new Set([tmpdir(), shortTmp(), '/dev/shm', '/run', '/run/netns'])) {
    for (const name of list(folder)) if (name.startsWith(prefix)) left.push(`file ${join(folder, name)}`);
  }
  for (const name of ['sandboxes', 'platform.json']) {
    if (statSync(join(state, name), { throwIfNoEntry: false })) left.push(`file ${join(state, name)}`);
  }
  left.push(...cgroups('/sys/fs/cgroup', prefix).map((path) => `cgroup ${path}`));
  return left;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // there is none
  }
}

function cgroups(folder: string, prefix: string, depth = 0): string[] {
  const folders = folderNames(folder);
  const own = folders.filter((name) => name.startsWith(prefix)).map((name) => join(folder, name));
  return depth > 6 ? own : [...own, ...folders.flatMap((name) => cgroups(join(folder, name), prefix, depth + 1))];
}

function folderNames(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return []; // it has gone meanwhile
  }
}
