/** Looks at the processes of this machine. */
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

const commandLine = (pid: number) => read(`/proc/${pid}/cmdline`).split('\0').filter(Boolean).join(' ');

/** Processes with exactly that command line. */
export function running(command: string): number[] {
  return pids().filter((pid) => commandLine(pid) === command);
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

export function cpuTicks(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
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
