/**
 * The two ends of a path through two NATs, three times: native programs with a static forward of the server's NAT, and
 * the same programs as guests, whose connections are pooled or opened on demand. All stand at the same time, to be
 * measured in turn.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { commandInside, type NatInfo, takeSlot } from '../../src/local';
import { bootCluster, type TestCluster } from '../../test/support/cluster';
import { networkOf, type TestNetwork } from '../../test/support/network';
import { build } from './programs';

/** What path-client answers. Microseconds, or per second. */
export interface Measured {
  readonly samples: readonly number[];
  readonly failed: number;
  readonly error: string;
}

export interface Client {
  /** One line for path-client. */
  measure(command: string): Promise<Measured>;
  close(): Promise<void>;
}

export interface Paths {
  readonly cluster: TestCluster;
  readonly network: TestNetwork;
  /** Guests of a client of the cluster, that connect to a host's server. */
  guest(host: string, environment?: NodeJS.ProcessEnv): Promise<Client>;
  /** The native programs: the server beside the host's guest (which has to run), the client behind a NAT of its own. */
  native(host: string): Promise<Client>;
  /** The same, of the bare steps of a connection that is pooled or opened: see bare-chain.c. */
  bare(host: string, how: 'pooled' | 'open'): Promise<Client>;
  close(): Promise<void>;
}

/** Runs `use` with paths to `count` hosts, and takes everything down after it. */
export async function withPaths<T>(
  count: number,
  nat: readonly string[],
  use: (paths: Paths) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
  const paths = await openPaths(folder, count, nat);
  try {
    return await use(paths);
  } finally {
    await paths.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** All that leads to one host, each client with its first connection made: the host runs, the way is known. */
export interface Ways {
  readonly native: Client;
  readonly pooled: Client;
  readonly open: Client;
  close(): Promise<void>;
}

export async function waysTo(paths: Paths, host: string): Promise<Ways> {
  const pooled = await paths.guest(host);
  await first(pooled);
  const open = await paths.guest(host, NOT_POOLED);
  await first(open);
  const native = await paths.native(host);
  await first(native);
  return {
    native,
    pooled,
    open,
    close: async () => void (await Promise.all([native, pooled, open].map((client) => client.close()))),
  };
}

/** Some, so that what is learned on the first one has been learned. */
const first = (client: Client) => must(client, 'connect 20 blocking');

/** Measures; no connection may have failed. */
export async function must(client: Client, command: string): Promise<readonly number[]> {
  const { samples, failed, error } = await client.measure(command);
  if (failed > 0) throw new Error(`${command}: ${failed} failed, the last one with: ${error}`);
  return samples;
}

/** Keeps nothing ready: every connection is a simultaneous open of its own. */
export const NOT_POOLED = { IMAGINARY_POOL_MOST: '0' };

const GUEST_PORT = 7000;
const NATIVE_PORT = 7001;
const BARE_PORTS = { pooled: 7103, open: 7104 };
export const IPERF_PORT = 7002;
export const NATIVE_IPERF_PORT = 7003;

/** Hosts `server-0 … server-(count-1)`, each with a server behind a NAT of its own. */
async function openPaths(folder: string, count: number, nat: readonly string[] = []): Promise<Paths> {
  const program = build('path-client', folder);
  const cluster = await bootCluster(
    Array.from({ length: count }, (_, i) => ({
      name: `server-${i}`,
      command: ['/bin/sh', '-c', `iperf3 -s -p ${IPERF_PORT} >&2 & exec /var/task/path-server 0.0.0.0 ${GUEST_PORT}`],
    })),
    { name: 'bench', upArguments: ['--network', 'nat', ...nat.flatMap((kind) => ['--nat', kind])] },
  );
  const server = build('path-server', cluster.folder);
  chmodSync(cluster.folder, 0o755); // for the sandbox's user
  const network = networkOf(cluster.state);
  const info = network.info;

  // For the suites that measure it only, and once.
  let built: string | undefined;
  const bare = () => (built ??= build('bare-chain', folder));
  const beside = async (
    host: string,
    port: number,
    serverProgram: readonly string[],
    clientProgram: readonly string[],
    more: readonly string[] = [],
  ) => {
    const at = await network.faults.where(host);
    await network.faults.forward(host, port);
    const serving = start(commandInside(at, [...serverProgram, '0.0.0.0', String(port)]));
    await once(serving.stdout!, 'data');
    return nativeClient(info, [...clientProgram, at.publicAddress, String(port), ...more], () => void serving.kill());
  };

  return {
    cluster,
    network,
    guest: (host, env) => clientOf(cluster.start([program, host, String(GUEST_PORT)], { env })),
    native: (host) => beside(host, NATIVE_PORT, [server], [program]),
    bare: (host, how) => beside(host, BARE_PORTS[how], [bare(), 'server'], [bare(), 'client'], [how]),
    close: () => cluster.dispose(),
  };
}

async function nativeClient(info: NatInfo, command: readonly string[], onClose: () => void): Promise<Client> {
  const place = await takeSlot(info);
  const client = clientOf(start(commandInside(place, command)));
  return {
    ...(await client),
    close: async () => {
      await (await client).close();
      place.leave();
      onClose();
    },
  };
}

const start = (line: readonly string[]) => spawn(line[0], line.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });

async function clientOf(child: ChildProcess): Promise<Client> {
  let said = '';
  child.stderr?.on('data', (text) => {
    said += text;
  });
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    measure: async (command) => {
      child.stdin!.write(`${command}\n`);
      const line = await lines.next();
      if (line.done) throw new Error(`'${command}': the client has ended: ${said}`);
      return JSON.parse(line.value);
    },
    close: () => {
      child.stdin!.end();
      return ended;
    },
  };
}
