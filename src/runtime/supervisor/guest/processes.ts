/**
 * Which processes of this machine are this host's guests, from /proc alone: the one that was started, its descendants,
 * whatever shares a session with one of them, and daemons that left all of that behind but still carry the mark.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';

export interface GuestProcess {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  /** In clock ticks after boot: with the pid it names a process for good. */
  readonly started: number;
  readonly zombie: boolean;
  /** CPU time of the process itself, and of its children that ended and were waited for, in milliseconds. */
  readonly cpu: number;
  readonly childrenCpu: number;
}

export interface GuestProcesses {
  /** The guest's first process, which leads a session of its own. */
  add(pid: number): void;
  /**
   * All guest processes that are alive, as of now. @throws when this process has no descriptors or no memory left to
   * look
   */
  list(): GuestProcess[];
  /**
   * As of the last list: a process was left out that may be a guest, because the kernel was replacing its program. It
   * must not be signalled, as it may be nobody of ours. A later list has it, if it is one.
   */
  readonly undecided: boolean;
}

export interface Marks {
  /** Set by us for guests alone: an environment entry `NAME=VALUE`. Absent: there is none. */
  readonly environment?: string;
  /** A file that every guest under the shim maps, and that nobody else does. */
  readonly mapped: string;
  /**
   * What was started before this, in clock ticks after boot, has no mark of ours. Default: the supervisor's own start.
   */
  readonly since?: number;
}

/** USER_HZ, which is 100 on both of Lambda's architectures. */
const MS_PER_TICK = 10;
const STRANGERS_CHECK = 20;
/** Milliseconds after which a process whose program is still being replaced is taken for a stranger. */
const UNDECIDED_LIMIT = 5_000;

export function trackGuests(marks: Marks): GuestProcesses {
  /** Guests by pid, with their start time, so that a reused number is not one. */
  const guests = new Map<number, number>();
  /** Others that were looked at closely, so that it happens once. Their numbers are checked now and then only. */
  const strangers = new Map<number, number>();
  /** When processes were first met while their program was being replaced. */
  let undecided = new Map<number, number>();
  let calls = 0;
  const since = marks.since ?? ownStart();
  /** Sessions of first processes; they stay known when those have ended before they were ever listed. */
  const roots = new Set<number>();

  return {
    add: (pid) => void roots.add(pid),
    get undecided() {
      return undecided.size > 0;
    },
    list: () => {
      const now = performance.now();
      const unclear = new Map<number, number>();
      const all = new Map<number, GuestProcess>();
      const checkStrangers = calls++ % STRANGERS_CHECK === 0;
      for (const name of readdirSync('/proc')) {
        const first = name.charCodeAt(0);
        const pid = Number(name);
        if (first < 48 || first > 57 || pid === process.pid) continue;
        if (strangers.has(pid) && !checkStrangers) continue;
        const found = readProcess(pid);
        if (found) all.set(pid, found);
      }
      const known = (p: GuestProcess) => guests.get(p.pid) === p.started;
      for (const [pid, started] of guests) if (all.get(pid)?.started !== started) guests.delete(pid);
      if (checkStrangers) {
        for (const [pid, started] of strangers) if (all.get(pid)?.started !== started) strangers.delete(pid);
      }
      // Whatever comes from a guest is one; repeated, since /proc is in no order of descent.
      for (let grew = true; grew; ) {
        grew = false;
        const sessions = new Set([...guests.keys()].map((pid) => all.get(pid)?.session).filter(isOfGuests));
        for (const session of roots) sessions.add(session);
        for (const p of all.values()) {
          if (known(p)) continue;
          const descends = guests.has(p.parent) || sessions.has(p.session);
          if (!descends && unclear.has(p.pid)) continue;
          const looked = strangers.get(p.pid) === p.started || p.started < since;
          const isGuest = descends || (!looked && hasMark(p.pid, marks));
          const first = undecided.get(p.pid) ?? now;
          if (isGuest) {
            guests.set(p.pid, p.started);
            unclear.delete(p.pid);
            grew = true;
          } else if (isGuest === undefined && now - first < UNDECIDED_LIMIT) unclear.set(p.pid, first);
          else strangers.set(p.pid, p.started);
        }
      }
      undecided = unclear;
      const alive = [...all.values()].filter((p) => known(p) && !p.zombie);
      // The number of a session without processes may be used anew.
      for (const session of roots) if (!alive.some((p) => p.session === session)) roots.delete(session);
      return alive;
    },
  };
}

/** Sessions that guests made are theirs alone; 0 is the kernel's, ours has the supervisor in it. */
function isOfGuests(session: number | undefined): session is number {
  return session !== undefined && session !== 0 && session !== ownSession();
}

let own: GuestProcess | undefined;
function ownProcess(): GuestProcess | undefined {
  own ??= readProcess(process.pid);
  return own;
}
const ownSession = () => ownProcess()?.session ?? 0;
/** What was there before the supervisor is no guest. */
const ownStart = () => ownProcess()?.started ?? 0;

const EXHAUSTED: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);
/**
 * What cannot be read for want of descriptors is there all the same: a process that is taken for gone makes a busy host
 * idle.
 */
function unlessExhausted<T>(error: unknown, otherwise: T): T {
  if (EXHAUSTED.has((error as NodeJS.ErrnoException).code)) throw error;
  return otherwise;
}

/** A line is a name of 64 bytes and fifty numbers, at the most. */
const line = Buffer.alloc(2_048);

/** Of a short file of /proc. Of hundreds of them: `readFileSync` takes twice as long. */
function readLine(path: string): string {
  const fd = openSync(path, 'r');
  try {
    return line.toString('latin1', 0, readSync(fd, line, 0, line.length, null));
  } finally {
    closeSync(fd);
  }
}

/** The fields from the third on. */
function statOf(pid: number): string[] {
  const text = readLine(`/proc/${pid}/stat`);
  // The second field is the name, in parentheses, and may itself hold spaces and parentheses.
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

const isZombie = ([state]: readonly string[]) => state === 'Z' || state === 'X';

function readProcess(pid: number): GuestProcess | undefined {
  try {
    const f = statOf(pid);
    return {
      pid,
      zombie: isZombie(f),
      parent: Number(f[1]),
      session: Number(f[3]),
      cpu: (Number(f[11]) + Number(f[12])) * MS_PER_TICK,
      childrenCpu: (Number(f[13]) + Number(f[14])) * MS_PER_TICK,
      started: Number(f[19]),
    };
  } catch (error) {
    return unlessExhausted(error, undefined); // it ended meanwhile
  }
}

/** Undefined: the kernel is replacing its program. Its memory is new, and nothing of it is there to be read. */
function hasMark(pid: number, marks: Marks): boolean | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
    if (marks.environment !== undefined && environment.split('\0').includes(marks.environment)) return true;
    const known = environment !== '' || hasNoEnvironment(pid);
    // Programs that set their title (nginx) overwrite that memory.
    if (readFileSync(`/proc/${pid}/maps`, 'latin1').includes(` ${marks.mapped}\n`)) return true;
    return known ? false : undefined;
  } catch (error) {
    return unlessExhausted(error, false); // it ended meanwhile, or belongs to another user
  }
}

/** proc_pid_stat(5), `flags`: a thread of the kernel's own. */
const PF_KTHREAD = 0x0020_0000;

/** For good: the program was started with an empty one, or has ended, or is no program. */
function hasNoEnvironment(pid: number): boolean {
  const f = statOf(pid);
  const [start, end] = f.slice(47, 49);
  // The kernel notes where the code begins when it has laid out the environment.
  const isLaidOut = f[23] !== '0';
  return isZombie(f) || (Number(f[6]) & PF_KTHREAD) !== 0 || (isLaidOut && start === end);
}

/** Inodes of the sockets that a process has open. */
export function socketInodes(pid: number): number[] {
  const inodes: number[] = [];
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return unlessExhausted(error, inodes);
  }
  for (const name of names) {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${name}`);
      if (target.startsWith('socket:[')) inodes.push(Number(target.slice(8, -1)));
    } catch (error) {
      unlessExhausted(error, undefined); // closed meanwhile
    }
  }
  return inodes;
}
