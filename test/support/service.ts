/** A client of a service, whose hosts run `echo.py`: holds connections, or opens one after the other. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestCluster } from './cluster';
import { python } from './guests';

/** What `service.py` has seen. */
export interface Seen {
  /** Connections by the virtual address of the host. */
  readonly hosts: Readonly<Record<string, number>>;
  readonly peers: readonly string[];
  readonly failed: readonly string[];
  readonly broken: number;
}

export interface ServiceClient {
  /** The connections stand, or (churn) all have ended. @throws Error when it ends without a word */
  seen(): Promise<Seen>;
  /** Closes all. */
  end(): Promise<void>;
}

/** By the program `service.py`, which is a file of the cluster's folder. */
export function openService(cluster: TestCluster, name: string, what: 'hold' | 'churn', count: number): ServiceClient {
  const file = join(cluster.folder, 'service.py');
  const child = cluster.start([python, file, name, '7000', what, String(count)]);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let said = '';
  child.stderr!.on('data', (text) => (said += text));
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  return {
    seen: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`the client of '${name}' said nothing: ${said}`);
      return JSON.parse(value as string) as Seen;
    },
    end: () => {
      child.stdin!.end();
      return ended;
    },
  };
}
