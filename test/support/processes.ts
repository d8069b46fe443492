/** The processes of this machine: finds them, and sends them signals. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended
  }
}

function pids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** From the state on: what stands before it is a name that may contain anything. */
function statOf(pid: number): string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

const commandLine = (pid: number) => read(`/proc/${pid}/cmdline`).split('\0').filter(Boolean).join(' ');

/** Processes with exactly that command line. */
export function running(command: string): number[] {
  return pids().filter((pid) => commandLine(pid) === command);
}

/** Processes of which the command line begins with that: not launchers, which name the command after their own. */
export function beginning(text: string): number[] {
  return pids().filter((pid) => commandLine(pid).startsWith(text));
}

/** Processes of which the command line contains that. */
export function mentioning(text: string): number[] {
  return pids().filter((pid) => commandLine(pid).includes(text));
}

/** The runtime client of a function, and what it started: not the launcher, which has the same environment. */
export function processesOf(functionName: string): number[] {
  return pids().filter(
    (pid) =>
      read(`/proc/${pid}/environ`).includes(`AWS_LAMBDA_FUNCTION_NAME=${functionName}\0`) &&
      !/\/sandbox --control/.test(commandLine(pid)),
  );
}

/** Processes with that in their environment, `NAME=value`. */
export function having(variable: string): number[] {
  return pids().filter((pid) => `\0${read(`/proc/${pid}/environ`)}`.includes(`\0${variable}\0`));
}

export function parentOf(pid: number): number {
  return Number(statOf(pid)[1]);
}

/** A process and its descendants. */
export function family(root: number): number[] {
  const parents = new Map<number, number>();
  for (const pid of pids()) {
    const [state, parent] = statOf(pid);
    if (state && state !== 'Z') parents.set(pid, Number(parent));
  }
  const found = parents.has(root) ? [root] : [];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found;
}

/** Sends a signal to processes that were there a moment ago: one of them may have ended since. */
export function signal(processes: Iterable<number>, name: NodeJS.Signals): void {
  for (const pid of processes) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

export function cpuTicks(pid: number): number {
  const fields = statOf(pid);
  return Number(fields[11]) + Number(fields[12]);
}

/** Processes that are in a network namespace, or keep it open. */
export function holdersOf(namespace: string): number[] {
  const links = (pid: number): string[] => {
    try {
      return [`/proc/${pid}/ns/net`, ...readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // it has ended
    }
  };
  const leads = (path: string): boolean => {
    try {
      return readlinkSync(path) === namespace;
    } catch {
      return false; // closed meanwhile
    }
  };
  return pids().filter((pid) => links(pid).some(leads));
}
