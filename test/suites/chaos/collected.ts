/** What a Node.js process has that is no garbage: measured once it has collected what is. */
import { execFile } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { commandInside } from '../../../src/local';
import { openDescriptors, privateMemory } from './sandboxes';

const PROGRAM = join(__dirname, 'inspector.ts');
/** Where SIGUSR1 opens an inspector. */
const PORT = 9229;
const LIMIT = 60_000;
const MB = 1024 * 1024;

export interface Measured {
  /** MB of V8's heap, and of what its objects hold outside of it. */
  readonly heap: number;
  /** MB that no other process has. */
  readonly memory: number;
  readonly descriptors: number;
}

/**
 * One process at a time.
 * @param port where the process has its inspector already; default: it is opened for this, and closed again
 * @throws Error when it has none within a minute
 */
export async function measure(pid: number, port?: number): Promise<Measured> {
  if (port === undefined) process.kill(pid, 'SIGUSR1');
  const own = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^NSpid:.*?(\d+)$/m)![1];
  const program = [process.execPath, ...process.execArgv, PROGRAM, `${port ?? PORT}`, own, port ? 'leave' : 'close'];
  const [file, ...args] = where(pid, program);
  const { stdout } = await promisify(execFile)(file, args, { timeout: LIMIT }).catch((error) => {
    throw new Error(`the inspector of process ${pid}: ${error.killed ? `nothing within ${LIMIT} ms` : error.stderr}`);
  });
  const { heapUsed, external } = JSON.parse(stdout);
  return { heap: (heapUsed + external) / MB, memory: privateMemory(pid) / MB, descriptors: openDescriptors(pid) };
}

/** The command line that runs the program in the network namespace of the process. */
function where(pid: number, program: readonly string[]): readonly string[] {
  const other = (kind: string) => readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`);
  if (!other('net')) return program;
  return commandInside(
    { net: `/proc/${pid}/ns/net`, users: other('user') ? `/proc/${pid}/ns/user` : undefined },
    program,
  );
}
