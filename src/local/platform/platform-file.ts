import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkPlatformInfo, type PlatformInfo } from '../../contract/platform/platform-info';
import { LocalError } from '../errors';

const FILE = 'platform.json';
/** Spaces at its end, for what is to be said when the disk is full. */
const ROOM = 2_048;

/** What `platform.json` of a state directory says; undefined when there is none. The process may be gone. */
export function readPlatform(stateDir: string): PlatformInfo | undefined {
  const file = join(stateDir, FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const info = checkPlatformInfo(JSON.parse(text));
    if (info) return info;
  } catch {
    // Falls through: written in one step, so this is no half-written file of ours.
  }
  throw new LocalError('state-dir', `${file} is not one of this version`, `Remove it if no cluster runs there.`);
}

/** Whether the process that wrote it still runs. */
export function isPlatformRunning(info: PlatformInfo): boolean {
  return info.ended === undefined && processStart(info.pid) === info.processStart;
}

export function writePlatform(stateDir: string, info: PlatformInfo): void {
  const temporary = join(stateDir, `.${FILE}.${process.pid}`);
  try {
    writeFileSync(temporary, `${JSON.stringify(info, null, 2)}\n${' '.repeat(ROOM)}\n`, { mode: 0o600 });
    renameSync(temporary, join(stateDir, FILE));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Says in the file why the platform has ended. Overwrites what is there and makes nothing longer: that needs no room on
 * the disk, which may be why it has ended. Never throws.
 */
export function writeEnd(stateDir: string, info: PlatformInfo, reason: string): void {
  const file = join(stateDir, FILE);
  try {
    const size = statSync(file).size;
    const ended = { time: Date.now(), reason: reason.slice(0, ROOM / 4) };
    const text = Buffer.from(`${JSON.stringify({ ...info, ended }, null, 2)}\n`);
    if (text.length > size) return;
    writeFileSync(file, Buffer.concat([text, Buffer.alloc(size - text.length, ' ')]), { flag: 'r+' });
  } catch {
    // Then it has ended without a word.
  }
}

export function removePlatform(stateDir: string): void {
  rmSync(join(stateDir, FILE), { force: true });
}

/** When a process started, in a form that no other process ever has; undefined when there is no such process. */
export function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything, so count from the last one: state is the first field after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : `${boot}/${fields[19]}`;
  } catch {
    return undefined;
  }
}
