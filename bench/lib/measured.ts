/** Programs of ours that are measured from outside: their CPU time and their memory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Server {
  readonly child: ChildProcess;
  /** Milliseconds of CPU so far. */
  cpu(): number;
  /** Resident KB. */
  memory(): number;
  end(): Promise<void>;
}

export function measured(child: ChildProcess): Server {
  const task = `/proc/${child.pid}/task`;
  return {
    child,
    cpu: () =>
      readdirSync(task).reduce((sum, id) => {
        return sum + Number(readFileSync(`${task}/${id}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
      }, 0),
    memory: () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]),
    end: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Starts a server whose log is a file, as an instance's is, and waits until it says this. */
export async function startServer(folder: string, args: readonly string[], line: string): Promise<Server> {
  const file = join(folder, 'server.log');
  const log = openSync(file, 'w');
  const child = spawn(process.execPath, args, { stdio: ['ignore', log, 'inherit'] });
  closeSync(log);
  while (!readFileSync(file, 'utf8').includes(line)) {
    if (child.exitCode !== null) throw new Error(`${args.join(' ')}: exit code ${child.exitCode}`);
    await sleep(5);
  }
  return measured(child);
}

const SETTLED_WITHIN = 20;

/**
 * Waits until a server has nothing to do any more: a seed that has just started still loads what it allocates with. One
 * that never rests (it writes a CPU profile) is waited for ten seconds.
 */
export async function settled(server: Server): Promise<void> {
  let before = -Infinity;
  for (let looks = 0; looks < SETTLED_WITHIN && server.cpu() - before > 5; looks++) {
    before = server.cpu();
    await sleep(500);
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
