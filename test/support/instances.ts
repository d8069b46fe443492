/** Host instances of a cluster: `imaginary join` on this machine, as on a VM, in a container or on a laptop. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { bootCluster, finish, type Result, type TestCluster } from './cluster';
import { guestFiles, python } from './guests';
import { mentioning } from './processes';

/** Connects to a host and a port, and prints what it is sent. */
const ASK =
  'import socket,sys; s=socket.create_connection((sys.argv[1], int(sys.argv[2]))); print(s.recv(64).decode().strip())';

const HOSTS = [
  { name: 'db', kind: 'instance' },
  {
    name: 'job',
    kind: 'instance',
    command: ['/bin/sh', '-c', 'echo "in $PWD: $GREETING"; exit 7'],
    environment: { GREETING: 'hello' },
  },
  { name: 'stubborn', kind: 'instance', stopTimeout: 200 },
  { name: 'late', kind: 'instance', allocationTimeout: 500 },
  { name: 'front', command: [python, '-u', 'front.py'] },
  { name: 'broken', command: ['/nowhere'] },
] as const;

/** On network `nat`, `db` is behind a symmetric NAT. */
export const NETWORKS: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['flat', ['--network', 'flat']],
  ['nat', ['--network', 'nat', '--nat', 'db=symmetric']],
];

export interface Instance extends ChildProcess {
  readonly result: Promise<Result>;
}

export class Instances {
  readonly #started: ChildProcess[] = [];

  static async boot(name: string, upArguments: readonly string[]): Promise<Instances> {
    return new Instances(await bootCluster([...HOSTS], { name, files: guestFiles('front.py'), upArguments }));
  }

  private constructor(readonly cluster: TestCluster) {}

  /** A program as an instance; the caller, or `end`, ends it. */
  start(...args: readonly string[]): Instance {
    const child = this.startAlone(...args);
    this.#started.push(child);
    return Object.assign(child, { result: finish(child, `join ${args.join(' ')}`) });
  }

  /** The same; nobody reads its output to the end. */
  startAlone(...args: readonly string[]): ChildProcess {
    return this.cluster.follow(['join', ...args]);
  }

  ask(host: string, port: string): Promise<Result> {
    return this.cluster.exec([python, '-c', ASK, host, port]);
  }

  /** Processes of this cluster. */
  processes(what: string): number[] {
    const ours = new Set(mentioning(this.cluster.folder));
    return mentioning(what).filter((pid) => ours.has(pid));
  }

  async count(host: string, event: string): Promise<number> {
    return (await this.cluster.events()).filter(is(host, event)).length;
  }

  async end(): Promise<void> {
    const left = this.#started.splice(0).filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const ends = left.map((child) => once(child, 'close'));
    for (const child of left) child.kill('SIGTERM');
    await Promise.all(ends);
  }
}

export const is = (host: string, event: string) => (e: { host: string | null; event: string }) =>
  e.host === host && e.event === event;

/** `imaginary join` without a state directory, as on another machine. */
export function joinFromElsewhere(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  const cli = join(__dirname, '../../assets/cli/imaginary.js');
  const own = { ...process.env, IMAGINARY_KEY: undefined, ...env };
  return finish(spawn(process.execPath, [cli, 'join', ...args], { env: own }), `join ${args.join(' ')}`);
}
