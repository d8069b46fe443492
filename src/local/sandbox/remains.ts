/** What is left when a process was killed that should have looked after others: a launcher, or `imaginary exec`. */
import { readdirSync, readFileSync } from 'node:fs';
import { removeCgroups } from './cgroup';

const LOOKS = 500;

/**
 * Ends what is left of a sandbox: what is in its cgroups, frozen or not, and what bears its name in its environment
 * (without cgroups and namespaces nothing else shows whose a process is). Never rejects.
 */
export async function endRemains(sandbox: string): Promise<void> {
  killNaming(sandbox);
  await removeCgroups(sandbox).catch(() => undefined); // kept from us: then they stay, as after a platform that was killed
  await endNaming(sandbox);
}

/** Kills all processes in whose environment the text is, but this one, and waits for their end. */
export async function endNaming(text: string): Promise<void> {
  for (let look = 0; look < LOOKS && killNaming(text) > 0; look++) {
    // The end of a process that is not our child is no event.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** @returns how many there were */
function killNaming(text: string): number {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
    try {
      // A zombie has none.
      if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(text)) return false;
      process.kill(Number(name), 'SIGKILL');
      return true;
    } catch {
      return false; // it has ended, or is not ours
    }
  }).length;
}
