/** An open connection of a client of a cluster: says a line, and hears what comes back. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestCluster } from './cluster';
import { python } from './guests';

/** For an answer. A host is woken for it, on a machine that is busy: milliseconds. */
const LIMIT = 60_000;

export interface Line {
  /** @throws Error when nothing comes back within a minute */
  say(line: string): Promise<string>;
  end(): Promise<void>;
}

/** By the program `hold.py`, which is a file of the cluster's folder. @throws Error when it is not connected */
export async function openLine(cluster: TestCluster, host: string, port: string): Promise<Line> {
  const child = cluster.start([python, join(cluster.folder, 'hold.py'), host, port]);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, fail) => {
      timer = setTimeout(() => fail(new Error(`nothing from ${host}:${port} within ${LIMIT} ms`)), LIMIT);
    });
    return Promise.race([lines.next().then(({ value }) => value as string), late]).finally(() => clearTimeout(timer));
  };
  const first = await next();
  if (first !== 'connected') throw new Error(`the connection to ${host}:${port} says '${first}', not 'connected'`);
  return {
    say: (line) => {
      child.stdin!.write(`${line}\n`);
      return next();
    },
    end: async () => {
      const ended = new Promise((done) => child.once('close', done));
      child.stdin!.end();
      await ended;
    },
  };
}
