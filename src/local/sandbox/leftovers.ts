/**
 * What a platform leaves that was killed: nothing that runs (its launchers see to that), but cgroups, files and
 * folders.
 */
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { shortTmp } from '../paths';
import { isPlatformRunning, processStart, readPlatform, removePlatform } from '../platform/platform-file';
import { cgroupPrefix, removeCgroups } from './cgroup';
import { endNaming } from './remains';

/** How long launchers may take to end what was theirs. */
const END_LIMIT = 5_000;

/** Ends and removes what is left of a platform of that state directory. Does nothing while one runs there. */
export async function cleanLeftovers(stateDir: string): Promise<void> {
  const info = readPlatform(stateDir);
  if (info && isPlatformRunning(info)) return;
  const state = realpathSync(stateDir);
  const prefix = cgroupPrefix(state);
  await endLaunchers(prefix, join(state, 'manifest.json'));
  await removeCgroups(prefix);
  rmSync(join(state, 'sandboxes'), { recursive: true, force: true });
  for (const name of readdirSync(shortTmp())) {
    if (!name.startsWith(prefix)) continue;
    if (name.startsWith(`${prefix}${CLIENT}`)) await endClient(join(shortTmp(), name));
    else rmSync(join(shortTmp(), name), { recursive: true, force: true });
  }
  removePlatform(stateDir);
}

const CLIENT = 'exec-';

/**
 * Makes the folder in which a client of the cluster (`imaginary exec`) and its guests meet. Not in the state directory:
 * the path of a Unix socket may have 107 characters only. Its name names the client, for the case that the client is
 * killed.
 */
export function makeClientFolder(stateDir: string): string {
  const folder = join(
    shortTmp(),
    `${cgroupPrefix(realpathSync(stateDir))}${CLIENT}${process.pid}-${startOf(process.pid)}`,
  );
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

const startOf = (pid: number) => processStart(pid)?.split('/')[1];

/** What a client left that was killed: its command ends with it, but not what that has started. */
async function endClient(folder: string): Promise<void> {
  const [, pid, start] = /-(\d+)-(\d+)$/.exec(folder) ?? [];
  if (pid !== undefined && startOf(Number(pid)) === start) return; // it goes on without the cluster
  await endNaming(folder);
  rmSync(folder, { recursive: true, force: true });
}

/**
 * Launchers notice the platform's end by themselves; this waits for them, and kills one that does not come to its end.
 */
async function endLaunchers(prefix: string, manifestFile: string): Promise<void> {
  for (const deadline = performance.now() + END_LIMIT; ; ) {
    const left = launchers(prefix, manifestFile);
    if (left.length === 0) return;
    const late = performance.now() > deadline;
    for (const pid of left) if (late) kill(pid);
    if (performance.now() > deadline + END_LIMIT) return;
    // The end of a process that is not our child is no event.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Sandboxes bear the prefix in the names of their folders, the seed's launcher the manifest's path. */
function launchers(prefix: string, manifestFile: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const launcher = words[0].endsWith('/sandbox') && words[1] === '--control';
      const holder = words[0].endsWith('/network') && words[1] === 'hold';
      const ours = words.some((word) => word.includes(`/${prefix}`) || word === manifestFile || word === prefix);
      return (launcher || holder) && ours ? [Number(name)] : [];
    } catch {
      return []; // it has ended
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
