/**
 * Which cgroups a sandbox gets: one to freeze it, one or two to limit it. The launcher makes and removes them; here is
 * decided where, and what a platform that was killed left behind is removed. Names begin with `imaginary-` and the
 * state directory's hash, so that leftovers are distinguished from everything else.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Folders of the cgroup file system in which sandboxes' cgroups can be made. */
export interface CgroupBases {
  readonly freezer?: { readonly version: 'v1' | 'v2'; readonly base: string };
  readonly memory?: { readonly version: 'v1' | 'v2'; readonly base: string };
  readonly pids?: { readonly version: 'v1' | 'v2'; readonly base: string };
  /** Only where sandboxes are to have a share of the processors. */
  readonly cpu?: { readonly version: 'v1' | 'v2'; readonly base: string };
  /** Why there are not all of them. */
  readonly missing: readonly string[];
}

/** As many processes and threads as Lambda allows. */
const PROCESSES = 1024;
/** MB of a function's memory for which Lambda gives one processor. */
const MB_A_PROCESSOR = 1_769;
/** Microseconds: a sandbox has its share of each such time. */
const CPU_PERIOD = 20_000;
/** The least that the kernel takes. */
const LEAST_QUOTA = 1_000;

export function cgroupPrefix(stateDir: string): string {
  return `imaginary-${createHash('sha256').update(stateDir).digest('hex').slice(0, 10)}-`;
}

/** Tries where cgroups can be made. @param cpuShare whether one that limits the use of processors is wanted */
export function findCgroups(prefix: string, cpuShare = false): CgroupBases {
  const v1 = (controller: string) => usable(v1Bases(controller), prefix, `${controller}.`);
  const v2 = usable(v2Bases(), prefix, 'cgroup.freeze');
  const limitsV2 = v2 === undefined ? undefined : enableLimits(v2, prefix, cpuShare);
  const freezer = v1('freezer');
  const memory = v1('memory');
  const pids = v1('pids');
  const cpu = cpuShare ? usable(v1Bases('cpu'), prefix, 'cpu.cfs_quota') : undefined;
  const version1 = (base: string | undefined) => base && ({ version: 'v1', base } as const);
  const version2 = (base: string | undefined) => base && ({ version: 'v2', base } as const);
  const bases = {
    freezer: version1(freezer) || version2(v2),
    memory: version1(memory) || (limitsV2?.has('memory') ? version2(v2) : undefined),
    pids: version1(pids) || (limitsV2?.has('pids') ? version2(v2) : undefined),
    cpu: version1(cpu) || (cpuShare && limitsV2?.has('cpu') ? version2(v2) : undefined),
  };
  const missing: string[] = [];
  if (!bases.freezer)
    missing.push('no cgroup can be made here, so sandboxes are stopped by signals between invocations');
  if (!bases.memory) missing.push("no memory cgroup can be made here, so a function's memory is no limit");
  if (cpuShare && !bases.cpu)
    missing.push('no cpu cgroup can be made here, so a function has as much of the processors as there is');
  return { ...clean(bases), missing };
}

function clean<T extends object>(bases: T): { [K in keyof T]: Exclude<T[K], '' | undefined> } {
  return Object.fromEntries(Object.entries(bases).filter(([, value]) => value)) as never;
}

/** The launcher's options for one sandbox. */
export function cgroupOptions(bases: CgroupBases, name: string, memorySize: number): string[] {
  const options: string[] = [];
  const groups = new Set<string>();
  const group = (base: string) => {
    const path = join(base, name);
    if (!groups.has(path)) options.push('--cgroup', path);
    groups.add(path);
    return path;
  };
  if (bases.freezer) options.push('--freezer', bases.freezer.version, group(bases.freezer.base));
  if (bases.memory) {
    const path = group(bases.memory.base);
    const bytes = String(memorySize * 1024 * 1024);
    if (bases.memory.version === 'v1') {
      options.push('--cgroup-set', join(path, 'memory.limit_in_bytes'), bytes);
      const swap = 'memory.memsw.limit_in_bytes';
      if (existsSync(join(bases.memory.base, swap))) options.push('--cgroup-set', join(path, swap), bytes);
    } else {
      options.push('--cgroup-set', join(path, 'memory.max'), bytes);
      if (existsSync('/proc/swaps')) options.push('--cgroup-set', join(path, 'memory.swap.max'), '0');
    }
  }
  if (bases.cpu) {
    const path = group(bases.cpu.base);
    const quota = Math.max(LEAST_QUOTA, Math.round((CPU_PERIOD * memorySize) / MB_A_PROCESSOR));
    if (bases.cpu.version === 'v1') {
      options.push('--cgroup-set', join(path, 'cpu.cfs_period_us'), String(CPU_PERIOD));
      options.push('--cgroup-set', join(path, 'cpu.cfs_quota_us'), String(quota));
    } else options.push('--cgroup-set', join(path, 'cpu.max'), `${quota} ${CPU_PERIOD}`);
  }
  if (bases.pids) options.push('--cgroup-set', join(group(bases.pids.base), 'pids.max'), String(PROCESSES));
  return options;
}

/** The most memory that a sandbox has used so far, in bytes. */
export function peakMemory(bases: CgroupBases, name: string): number | undefined {
  if (!bases.memory) return undefined;
  const file = bases.memory.version === 'v1' ? 'memory.max_usage_in_bytes' : 'memory.peak';
  try {
    return Number(readFileSync(join(bases.memory.base, name, file), 'utf8'));
  } catch {
    return undefined;
  }
}

interface Mount {
  readonly type: string;
  readonly point: string;
  readonly controllers: readonly string[];
}

function cgroupMounts(): Mount[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [front, back] = line.split(' - ');
    const [type, , options] = (back ?? '').split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    const point = front.split(' ')[4].replace(/\\040/g, ' ');
    return [{ type, point, controllers: options.split(',') }];
  });
}

/** Our own cgroup's path in a hierarchy; '' is version 2. */
function ownPath(controller: string): string | undefined {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const line = lines.map((l) => /^\d+:([^:]*):(.*)$/.exec(l)).find((m) => m?.[1].split(',').includes(controller));
  return line?.[2];
}

function v1Bases(controller: string): string[] {
  const mount = cgroupMounts().find((m) => m.type === 'cgroup' && m.controllers.includes(controller));
  if (!mount) return [];
  // In a container, the path in /proc may be one of the host's: then the mount itself is our own cgroup.
  return [join(mount.point, ownPath(controller) ?? ''), mount.point];
}

function v2Bases(): string[] {
  const mount = cgroupMounts().find((m) => m.type === 'cgroup2');
  if (!mount) return [];
  const own = join(mount.point, ownPath('') ?? '');
  // Beside our own first: below it, limits are refused as long as processes (we) are in it.
  return [...(own === mount.point ? [] : [dirname(own)]), own, mount.point];
}

/** The first base in which a cgroup with such a file can be made. */
function usable(bases: readonly string[], prefix: string, file: string): string | undefined {
  return bases.find((base) => {
    const probe = join(base, `${prefix}probe`);
    try {
      mkdirSync(probe);
    } catch {
      return false;
    }
    try {
      return readdirSync(probe).some((name) => name.startsWith(file));
    } finally {
      rmdirSync(probe);
    }
  });
}

/** Which limits cgroups made in that base of version 2 have; enables them where that is allowed. */
function enableLimits(base: string, prefix: string, cpuShare: boolean): Set<string> {
  const available = () => {
    const probe = join(base, `${prefix}probe`);
    mkdirSync(probe);
    const names = readFileSync(join(probe, 'cgroup.controllers'), 'utf8').trim().split(' ');
    rmdirSync(probe);
    return new Set(names);
  };
  for (const controller of ['memory', 'pids', ...(cpuShare ? ['cpu'] : [])]) {
    if (available().has(controller)) continue;
    try {
      writeFileSync(join(base, 'cgroup.subtree_control'), `+${controller}`);
    } catch {
      // Not ours to enable: then without.
    }
  }
  return available();
}

/** Ends all processes in cgroups that a killed platform left, and removes the cgroups. */
export async function removeCgroups(prefix: string): Promise<void> {
  const bases = new Set([
    ...v1Bases('freezer'),
    ...v1Bases('memory'),
    ...v1Bases('pids'),
    ...v1Bases('cpu'),
    ...v2Bases(),
  ]);
  const left = [...bases].flatMap((base) => {
    if (!existsSync(base)) return [];
    return readdirSync(base)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(base, name));
  });
  for (let tries = 0; tries < 500; tries++) {
    const still = left.filter((path) => existsSync(path) && !emptied(path));
    if (still.length === 0) return;
    // The end of a process that is not our child is no event.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Kills what is in a cgroup; true when nothing was and it is removed. */
function emptied(path: string): boolean {
  try {
    const pids = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    for (const pid of pids) kill(pid);
    // A frozen process does not die.
    if (existsSync(join(path, 'freezer.state'))) writeFileSync(join(path, 'freezer.state'), 'THAWED');
    if (existsSync(join(path, 'cgroup.freeze'))) writeFileSync(join(path, 'cgroup.freeze'), '0');
    rmdirSync(path);
    return true;
  } catch {
    return !existsSync(path);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
