/**
 * A cluster booted through the real `imaginary` command, for end-to-end tests and benchmarks. Owns its folder and takes
 * everything down again. Every wait here is for an event of the cluster or the end of a process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { ClusterEvent, ClusterStatus } from '../../src/contract/control/from-seed';
import {
  assignAddresses,
  formatAddress,
  type ManifestExpose,
  type ManifestHost,
  type ManifestLimits,
  type ManifestService,
  parseCidr,
} from '../../src/contract/manifest';

const CLI = resolve(__dirname, '../../assets/cli/imaginary.js');

export type TestHost = Pick<ManifestHost, 'name'> & Partial<ManifestHost>;

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Act as this host instead of as a client. */
  readonly as?: string;
  readonly input?: string;
  /** Milliseconds, then the command is killed and the call fails. Default 60,000. */
  readonly timeout?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

export interface ClusterOptions {
  readonly name?: string;
  readonly seedPort?: number;
  /** There are two seeds. */
  readonly standby?: boolean;
  readonly limits?: Partial<ManifestLimits>;
  /** Ports of the seed for clients from outside. */
  readonly exposes?: ReadonlyArray<Pick<ManifestExpose, 'host' | 'port'> & Partial<ManifestExpose>>;
  readonly services?: ReadonlyArray<Pick<ManifestService, 'name'> & Partial<ManifestService>>;
  /** Files of the functions' code (`/var/task`): name to content. */
  readonly files?: Record<string, string>;
  readonly upArguments?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** What `imaginary up` is told for connections by each transport, and what that is called. */
export const EACH_TRANSPORT: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['flat', ['--network', 'flat']],
  ['nat', ['--network', 'nat']],
  ['nat, relayed', ['--network', 'nat', '--nat', 'symmetric']],
];

export interface TestCluster {
  readonly folder: string;
  readonly state: string;
  up(...extra: string[]): Promise<Result>;
  down(): Promise<Result>;
  imaginary(args: readonly string[], options?: RunOptions): Promise<Result>;
  exec(command: readonly string[], options?: RunOptions): Promise<Result>;
  /** A long-running command in the cluster; the caller ends it. */
  start(command: readonly string[], options?: RunOptions): ChildProcess;
  /** A long-running `imaginary` command; the caller ends it. */
  follow(args: readonly string[], options?: RunOptions): ChildProcess;
  ps(): Promise<ClusterStatus['hosts']>;
  host(name: string): Promise<ClusterStatus['hosts'][number]>;
  events(): Promise<ClusterEvent[]>;
  logs(host: string): Promise<string>;
  /** The first event, past or future, that matches. Fails after `timeout` milliseconds. */
  waitFor(match: (event: ClusterEvent) => boolean, timeout?: number): Promise<ClusterEvent>;
  /** Takes the cluster down, kills what was started in it and still runs, and removes its folder. */
  dispose(): Promise<void>;
}

/** Writes the manifest of `hosts` and its code folder, without booting anything. */
export function prepareCluster(hosts: readonly TestHost[], options: ClusterOptions = {}): TestCluster {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-test-'));
  const state = join(folder, 'state');
  const name = options.name ?? 'test';
  const cidr = '100.64.0.0/16';
  const without = hosts.filter(({ address }) => address === undefined);
  const addresses = assignAddresses(parseCidr(cidr)!, without);
  const manifest = {
    version: 1,
    exposes: options.exposes,
    cluster: { name, cidr, limits: options.limits },
    seed: { port: options.seedPort, standby: options.standby },
    hosts: hosts.map((host) => ({
      address: host.address ?? formatAddress(addresses.get(host.name)!),
      ...(host.kind === 'instance' ? {} : { functionName: `${name}-${host.name}` }),
      ...host,
    })),
    services: options.services,
  };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest, null, 2));
  for (const [file, content] of Object.entries(options.files ?? {})) {
    writeFileSync(join(folder, file), content, { mode: 0o755 });
  }

  const command = (args: readonly string[]) => [args[0], '--state', state, ...args.slice(1)];
  const running = new Set<ChildProcess>();
  const spawnCli = (args: readonly string[], run: RunOptions) => {
    const child = spawn(process.execPath, [CLI, ...command(args)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: run.cwd,
      env: { ...process.env, NO_COLOR: '1', ...options.env, ...run.env },
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    return child;
  };
  const execArguments = (guest: readonly string[], run: RunOptions) => [
    'exec',
    ...(run.as ? ['--as', run.as] : []),
    '--',
    ...guest,
  ];
  const imaginary = (args: readonly string[], run: RunOptions = {}) => finish(spawnCli(args, run), args.join(' '), run);
  const json = async <T>(args: readonly string[]): Promise<T> => JSON.parse(must(await imaginary(args), args)) as T;

  const cluster: TestCluster = {
    folder,
    state,
    imaginary,
    up: (...extra) =>
      imaginary(['up', ...(options.upArguments ?? []), ...extra, join(folder, 'manifest.json')], { timeout: 120_000 }),
    down: () => imaginary(['down']),
    exec: (guest, run = {}) => imaginary(execArguments(guest, run), run),
    start: (guest, run = {}) => spawnCli(execArguments(guest, run), run),
    follow: (args, run = {}) => spawnCli(args, run),
    ps: async () => (await json<ClusterStatus>(['ps', '--json'])).hosts,
    host: async (wanted) => {
      const found = (await cluster.ps()).find((h) => h.name === wanted);
      if (!found) throw new Error(`no host '${wanted}' in ps`);
      return found;
    },
    events: async () =>
      must(await imaginary(['events', '--json']), ['events'])
        .split('\n')
        .filter(Boolean)
        .map(parseEvent),
    logs: async (host) => must(await imaginary(['logs', host]), ['logs', host]),
    waitFor: async (match, timeout = 30_000) => {
      const follower = spawnCli(['events', '--follow', '--json'], {});
      const timer = setTimeout(() => follower.kill(), timeout);
      try {
        for await (const line of createInterface({ input: follower.stdout! })) {
          const event = parseEvent(line);
          if (match(event)) return event;
        }
      } finally {
        clearTimeout(timer);
        follower.kill();
      }
      throw new Error(`no such event within ${timeout} ms: ${match}`);
    },
    dispose: async () => {
      await imaginary(['down'], { timeout: 60_000 });
      // What a test that failed did not end would keep the test runner from ending.
      for (const child of running) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return cluster;
}

/** As the seed has it: milliseconds, with fraction. */
function parseEvent(line: string): ClusterEvent {
  const event = JSON.parse(line) as Omit<ClusterEvent, 'time'> & { readonly time: string };
  return { ...event, time: Date.parse(event.time) + Number(`0.${event.time.slice(-4, -1)}`) };
}

/** A booted cluster. Fails with what `imaginary up` said when it does not boot. */
export async function bootCluster(hosts: readonly TestHost[], options: ClusterOptions = {}): Promise<TestCluster> {
  const cluster = prepareCluster(hosts, options);
  must(await cluster.up(), ['up']);
  return cluster;
}

function must(result: Result, args: readonly string[]): string {
  if (result.code !== 0)
    throw new Error(`imaginary ${args.join(' ')}: exit ${result.code}\n${result.stderr}${result.stdout}`);
  return result.stdout;
}

/** Collects a process to its end. */
export function finish(child: ChildProcess, what: string, run: RunOptions = {}): Promise<Result> {
  return new Promise((done, fail) => {
    let stdout = '';
    let stderr = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(run.input ?? '');
    const limit = run.timeout ?? 60_000;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(new Error(`'${what}' did not end within ${limit} ms\n${stderr}${stdout}`));
    }, limit);
    child.on('error', fail);
    child.on('close', (code) => {
      clearTimeout(timer);
      done({ code, stdout, stderr });
    });
  });
}
