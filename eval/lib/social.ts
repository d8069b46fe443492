/**
 * A small social network: nginx, seven logic services that speak RPC, memcached and Redis. As ordinary processes, or each part on a
 * host of a cluster.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Processes } from '../../test/suites/chaos/sandboxes';
import { finish, prepareCluster } from '../../test/support/cluster';
import { eventually } from '../../test/support/eventually';
import { family } from '../../test/support/processes';

const PROGRAMS = resolve(__dirname, '../programs/social');
export const LOGIC = ['page', 'user', 'graph', 'timeline', 'post', 'text', 'media'];
export const NAMES = ['web', ...LOGIC, 'memcached', 'redis'];

/** What one run of wrk has found. */
export interface Load {
  readonly requests: number;
  /** Microseconds. */
  readonly us: number;
  /** Microseconds. */
  readonly p90: number;
}

export interface Deployment {
  readonly what: string;
  /** A run of wrk, where the clients are. */
  load(): Promise<Load>;
  /** A page. */
  get(path: string): Promise<string>;
  /** Processes of all parts, with what carries them: not the clients. */
  parts(): readonly number[];
  /** Those of the parts that are supervisors. */
  supervisors(): readonly number[];
  close(): Promise<void>;
}

/** The command line of one part. `addressOf`: where the others are. */
function commandOf(
  name: string,
  listen: string,
  code: string,
  tmp: string,
  addressOf: (name: string) => string,
): string[] {
  switch (name) {
    case 'web':
      return ['/usr/sbin/nginx', '-e', 'stderr', '-p', tmp, '-c', `${code}/nginx.conf`];
    case 'memcached':
      return ['/usr/bin/memcached', '-U', '0', '-l', listen, '-p', '11211', '-u', 'root'];
    case 'redis':
      return [
        '/usr/bin/redis-server',
        '--bind',
        listen,
        '--port',
        '6379',
        '--save',
        '',
        '--protected-mode',
        'no',
        '--dir',
        tmp,
      ];
    default: {
      const peers = Object.fromEntries(NAMES.map((other) => [other, addressOf(other)]));
      return ['node', `${code}/service.js`, name, listen, JSON.stringify(peers)];
    }
  }
}

function nginxConf(tmp: string, page: string, listen: string): string {
  const text = readFileSync(join(PROGRAMS, 'nginx.conf'), 'utf8');
  return text.replaceAll('TMP', tmp).replace('PAGE', page).replace('ADDRESS', listen);
}

/** What runs wrk whenever it is told to, so that no other program starts or ends beside a run. */
class Clients {
  readonly #child: ChildProcess;
  #answer: { resolve(load: Load): void; reject(error: Error): void } | undefined;
  #errors = '';
  /** Rejects when it has ended. */
  readonly #ended: Promise<never>;

  /** @param start starts such a command where the clients are */
  constructor(start: (command: readonly string[]) => ChildProcess, url: string, connections: number, seconds: number) {
    const script = join(PROGRAMS, 'users.lua');
    const wrk = `wrk -t 1 -c ${connections} -d ${seconds}s --latency -s '${script}' '${url}'`;
    this.#child = start(['/bin/sh', '-c', `while read -r _; do ${wrk} || exit; done`]);
    this.#child.stderr!.on('data', (text) => {
      this.#errors = `${this.#errors}${text}`.slice(-2_000);
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const { failed, ...load } = JSON.parse(line);
      if (failed > 0) this.#answer?.reject(new Error(`${failed} requests failed`));
      else this.#answer?.resolve(load);
    });
    this.#ended = once(this.#child, 'close').then(([code]) => {
      throw new Error(`wrk: exit code ${code}: ${this.#errors}`);
    });
    this.#ended.catch(() => undefined);
    // That it has ended is said by its end.
    this.#child.stdin!.on('error', () => undefined);
  }

  load(): Promise<Load> {
    const load = new Promise<Load>((resolve, reject) => {
      this.#answer = { resolve, reject };
    });
    this.#child.stdin!.write('\n');
    return Promise.race([load, this.#ended]);
  }

  async end(): Promise<void> {
    this.#child.stdin!.end();
    await this.#ended.catch(() => undefined);
  }
}

export interface LoadOptions {
  readonly connections: number;
  /** Of each run. */
  readonly seconds: number;
}

/** Ordinary processes at addresses of the loopback interface, others for each `number` (0 to 255). */
export async function asProcesses(
  what: string,
  number: number,
  { connections, seconds }: LoadOptions,
): Promise<Deployment> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-eval-'));
  const addressOf = (name: string) => `127.201.${number}.${NAMES.indexOf(name) + 1}`;
  writeFileSync(join(folder, 'nginx.conf'), nginxConf(folder, addressOf('page'), addressOf('web')));
  writeFileSync(join(folder, 'service.js'), readFileSync(join(PROGRAMS, 'service.js')));
  const children = NAMES.map((name) => {
    const [program, ...args] = commandOf(name, addressOf(name), folder, folder, addressOf);
    // In a session of its own, as each guest is: the kernel shares the processors out between sessions first.
    return spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  });
  const url = `http://${addressOf('web')}:8080`;
  const start = ([program, ...args]: readonly string[]) => spawn(program, args, { stdio: 'pipe', detached: true });
  const clients = new Clients(start, url, connections, seconds);
  const parts = () => children.flatMap((child) => family(child.pid!));
  const close = async () => {
    await clients.end();
    await Promise.all(
      children.map((child) => {
        const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
        child.kill('SIGTERM');
        return ended;
      }),
    );
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const [i, name] of NAMES.entries()) {
      await eventually(() => accepts(addressOf(name), portOf(name)), 30_000);
      // What accepts may be another program: of one that could not take the address, this one has ended.
      if (children[i].exitCode !== null) throw new Error(`'${name}' has ended with exit code ${children[i].exitCode}`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    what,
    load: () => clients.load(),
    get: (path) => output(finish(start([...CURL, `${url}${path}`]), 'curl')),
    parts,
    supervisors: () => [],
    close,
  };
}

const CURL = ['curl', '-sS', '--max-time', '50'];

const portOf = (name: string) => ({ web: 8080, page: 8000, memcached: 11_211, redis: 6379 })[name] ?? 9000;

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect({ host, port }, () => answer(true));
    socket.once('error', () => answer(false)).once('connect', () => socket.destroy());
  });
}

/** @param flags of `imaginary up` */
export async function asHosts(
  what: string,
  flags: readonly string[],
  { connections, seconds }: LoadOptions,
): Promise<Deployment> {
  const files = {
    'nginx.conf': nginxConf('/tmp', 'page', '0.0.0.0'),
    'service.js': readFileSync(join(PROGRAMS, 'service.js'), 'utf8'),
  };
  const cluster = prepareCluster(
    NAMES.map((name) => ({ name, command: commandOf(name, '0.0.0.0', '/var/task', '/tmp', (other) => other) })),
    { name: 'social', files },
  );
  try {
    const { code, stderr } = await cluster.up(...flags);
    if (code !== 0) throw new Error(`imaginary up: ${stderr}`);
    const platform: number = JSON.parse(readFileSync(join(cluster.state, 'platform.json'), 'utf8')).pid;
    const start = (command: readonly string[]) => cluster.start(command, { timeout: 3_600_000 });
    const url = 'http://web:8080';
    const clients = new Clients(start, url, connections, seconds);
    return {
      what,
      load: () => clients.load(),
      get: (path) => output(cluster.exec([...CURL, `${url}${path}`])),
      parts: () => family(platform),
      supervisors: () => new Processes(platform).sandboxes('social').map(({ supervisor }) => supervisor),
      close: async () => {
        await clients.end();
        await cluster.dispose();
      },
    };
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
}

async function output(run: ReturnType<typeof finish>): Promise<string> {
  const { code, stdout, stderr } = await run;
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}${stdout}`);
  return stdout;
}

/** Data for all users, and one page that is as it has to be. */
export async function fill({ get, what }: Deployment): Promise<void> {
  const filled = await get('/fill');
  if (filled !== '"filled"') throw new Error(`${what}: ${filled}`);
  const { user, posts } = JSON.parse(await get('/17'));
  if (user.name !== 'user number 17' || posts.length !== 9 || !posts[0].text.includes('mentions user number'))
    throw new Error(`${what}: a page is ${JSON.stringify({ user, posts })}`);
}
