/**
 * When the guests want to run again by themselves, as far as anybody else can see: their timerfds. Sleeping system calls
 * and time-outs of `epoll_wait` and the like are seen by nobody but the kernel.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Shorter timers are housekeeping. Milliseconds. */
const SHORTEST = 1_000;

/**
 * @param idleTimeout a timer that fires more often than this (milliseconds) is housekeeping, too
 * @returns milliseconds until the earliest deadline
 */
export function nextDeadline(pids: Iterable<number>, idleTimeout: number): number | undefined {
  let earliest: number | undefined;
  for (const pid of pids) {
    for (const { value, interval } of timersOf(pid)) {
      if (value < SHORTEST || (interval > 0 && interval < idleTimeout)) continue;
      earliest = Math.min(value, earliest ?? value);
    }
  }
  return earliest;
}

function timersOf(pid: number): Array<{ readonly value: number; readonly interval: number }> {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => timerOf(pid, fd) ?? []);
  } catch {
    return []; // it has ended meanwhile, or there are no descriptors left to look
  }
}

function timerOf(pid: number, fd: string) {
  try {
    if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== 'anon_inode:[timerfd]') return undefined;
    const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1');
    const time = (name: string) => {
      const [, seconds, nanoseconds] = new RegExp(`^${name}: \\((\\d+), (\\d+)\\)$`, 'm').exec(text)!;
      return Number(seconds) * 1_000 + Math.ceil(Number(nanoseconds) / 1e6);
    };
    return { value: time('it_value'), interval: time('it_interval') };
  } catch {
    return undefined; // closed meanwhile
  }
}
