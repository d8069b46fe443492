/** Ends processes that are not all children of this one: by signals, again and again until none is left. */
import { pause } from '../../pause';
import type { GuestProcess, GuestProcesses } from './processes';

const STOP_CHECK = 20;
/** Milliseconds that processes are killed for: one that is being killed may fork. */
const KILL_LIMIT = 2_000;

/** Processes to signal, and the leader of a process group that is signalled when the list cannot be read. */
export interface Stoppable {
  readonly processes: GuestProcesses;
  readonly leader?: number;
}

/** SIGTERM to every process, SIGKILL to those that are left after `grace` milliseconds. */
export async function stopAll(guests: Stoppable, grace: number): Promise<void> {
  signalAll(guests, 'SIGTERM');
  for (const limit = performance.now() + grace; performance.now() < limit; ) {
    if (noneLeft(guests.processes)) break;
    await pause(STOP_CHECK);
  }
  await killAll(guests);
}

export async function killAll(guests: Stoppable): Promise<void> {
  for (const limit = performance.now() + KILL_LIMIT; performance.now() < limit; ) {
    if (signalAll(guests, 'SIGKILL')?.length === 0 && !guests.processes.undecided) return;
    await pause(STOP_CHECK);
  }
}

/** @returns the processes that were alive; undefined: the list could not be read */
export function signalAll({ processes, leader }: Stoppable, signal: NodeJS.Signals): GuestProcess[] | undefined {
  const alive = listNow(processes);
  for (const { pid } of alive ?? []) sendSignal(pid, signal);
  if (!alive && leader) sendSignal(-leader, signal);
  return alive;
}

/** Whether all have ended, as far as can be known. */
export function noneLeft(processes: GuestProcesses): boolean {
  return listNow(processes)?.length === 0 && !processes.undecided;
}

/** Undefined: the list cannot be read at this moment, for want of descriptors or memory. */
export function listNow(processes: GuestProcesses): GuestProcess[] | undefined {
  try {
    return processes.list();
  } catch {
    return undefined;
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals) {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended meanwhile
  }
}
