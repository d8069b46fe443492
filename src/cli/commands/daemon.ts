import type { PlatformInfo } from '../../local';
import { type ErrorReport, reportOf } from '../output/errors';
import { type BootOptions, boot, interruption, keep } from '../target/boot';

/** The one message of the daemon to the `up` that started it. */
export type DaemonMessage =
  | { readonly type: 'ready'; readonly info: PlatformInfo }
  | { readonly type: 'failed'; readonly error: ErrorReport };

/** What `up` leaves running: the platform's process. Its output is the daemon log. */
export async function daemon(options: BootOptions): Promise<void> {
  const given = new AbortController();
  const interrupted = interruption();
  // An `up` that is interrupted closes the channel: then nobody wants this platform.
  const orphaned = () => given.abort();
  process.once('disconnect', orphaned);
  void interrupted.then(() => given.abort());
  try {
    const platform = await boot(options, given.signal);
    process.off('disconnect', orphaned);
    await report({ type: 'ready', info: platform.info });
    if (process.connected) process.disconnect();
    await keep(platform, interrupted);
  } catch (error) {
    await report({ type: 'failed', error: reportOf(error) });
    if (process.connected) process.disconnect();
    throw error;
  }
}

function report(message: DaemonMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected || !process.send) return resolve();
    process.send(message, undefined, {}, () => resolve());
  });
}
