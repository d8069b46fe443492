/** A host's sandbox is lost with all that is in it, like a machine that is switched off. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Processes } from '../../test/suites/chaos/sandboxes';

/** @param state the folder of the platform that `imaginary up` has started */
export function loseSandbox(state: string, cluster: string, host: string): void {
  const { pid } = JSON.parse(readFileSync(join(state, 'platform.json'), 'utf8'));
  const sandbox = new Processes(pid).sandboxes(cluster).find((one) => one.host === host && one.guests.length > 0);
  if (!sandbox) throw new Error(`there is no sandbox of '${host}'`);
  for (const one of sandbox.all) {
    try {
      process.kill(one, 'SIGKILL');
    } catch (error) {
      // The first of them has taken it along.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
