/** Whether a guest was killed because there was no memory left: the kernel sends the same signal as anybody. */
import { readFileSync } from 'node:fs';

/** Processes that the kernel has killed for want of memory since it began; NaN where it does not say. */
function kills(): number {
  try {
    const [, count] = /^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8')) ?? [];
    return Number(count ?? Number.NaN);
  } catch {
    return Number.NaN;
  }
}

/**
 * Call it when a guest starts. What it returns is called when a guest was ended by SIGKILL, and says why, if the kernel has
 * killed a process for want of memory since. On Lambda that can only be one of the sandbox; locally, any of the machine.
 */
export function watchMemory(environment: Readonly<Record<string, string | undefined>>): () => string | undefined {
  const before = kills();
  const megabytes = environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
  return () => {
    if (!(kills() > before)) return undefined;
    return `out of memory: the kernel has killed it${megabytes ? ` (the function has ${megabytes} MB)` : ''}`;
  };
}
