/**
 * A small social network under saturation: wrk, nginx, seven logic services that speak RPC, memcached and Redis. Natively on
 * one network; under the shim on one network (the papers' static case); and on host functions behind NATs, 0.7 ms from one another.
 * All three stand at the same time, and are measured in turn.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { median } from '../../bench/lib/rows';
import { type PlatformFlags, readManifest, startPlatform } from '../../src/local';
import { finish, prepareCluster } from '../../test/support/cluster';
import { eventually } from '../../test/support/eventually';
import { cpuTicks, family } from '../../test/support/processes';
import { absolute, type Evaluation, type Figure, ratio } from '../lib/figures';

const PROGRAMS = resolve(__dirname, '../programs/social');
const ROUNDS = 9;
/** The first ones: what node compiles while it runs is compiled. */
const WARM = 2;
const SECONDS = 4;
const CONNECTIONS = 48;
/** The papers' mean round trip between two functions. */
const RTT = 0.7;

const LOGIC = ['page', 'user', 'graph', 'timeline', 'post', 'text', 'media'];
const NAMES = ['web', ...LOGIC, 'memcached', 'redis'];

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

interface Deployment {
  readonly what: string;
  /** Runs a command where the clients are, and resolves to its output. */
  client(command: readonly string[]): Promise<string>;
  readonly url: string;
  close(): Promise<void>;
}

async function native(): Promise<Deployment> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-eval-'));
  const addressOf = (name: string) => `127.201.0.${NAMES.indexOf(name) + 1}`;
  writeFileSync(join(folder, 'nginx.conf'), nginxConf(folder, addressOf('page'), addressOf('web')));
  writeFileSync(join(folder, 'service.js'), readFileSync(join(PROGRAMS, 'service.js')));
  const children = NAMES.map((name) => {
    const [program, ...args] = commandOf(name, addressOf(name), folder, folder, addressOf);
    // In a session of its own, as each guest is: the kernel shares the processors out between sessions first.
    return spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  });
  for (const name of NAMES) await eventually(() => accepts(addressOf(name), portOf(name)), 30_000);
  return {
    what: 'native',
    url: `http://${addressOf('web')}:8080`,
    client: ([program, ...args]) => output(finish(spawn(program, args, { stdio: 'pipe' }), program)),
    close: async () => {
      await Promise.all(
        children.map((child) => {
          const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
          child.kill('SIGTERM');
          return ended;
        }),
      );
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const portOf = (name: string) => ({ web: 8080, page: 8000, memcached: 11_211, redis: 6379 })[name] ?? 9000;

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect({ host, port }, () => answer(true));
    socket.once('error', () => answer(false)).once('connect', () => socket.destroy());
  });
}

async function hosts(what: string, flags: PlatformFlags): Promise<Deployment> {
  const files = {
    'nginx.conf': nginxConf('/tmp', 'page', '0.0.0.0'),
    'service.js': readFileSync(join(PROGRAMS, 'service.js'), 'utf8'),
  };
  const cluster = prepareCluster(
    NAMES.map((name) => ({ name, command: commandOf(name, '0.0.0.0', '/var/task', '/tmp', (other) => other) })),
    { name: 'social', files },
  );
  try {
    const application = readManifest(join(cluster.folder, 'manifest.json'));
    const platform = await startPlatform({ application, stateDir: cluster.state, ...flags });
    return {
      what,
      url: 'http://web:8080',
      client: (command) => output(cluster.exec(command, { timeout: 60_000 })),
      close: async () => {
        await platform.stop();
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

interface Load {
  /** Pages a second. */
  readonly rate: number;
  /** Milliseconds. */
  readonly p90: number;
  /** Microseconds of processors that a page took, of all processes that were there before and after; not wrk. */
  readonly cpu: number;
}

/** Of all deployments: the others do nothing meanwhile. */
const ticksOf = () => new Map(family(process.pid).map((pid) => [pid, cpuTicks(pid)]));
/** Microseconds. */
const TICK = 10_000;

async function load({ client, url, what }: Deployment): Promise<Load> {
  const options = [
    '-t',
    '1',
    '-c',
    String(CONNECTIONS),
    '-d',
    `${SECONDS}s`,
    '--latency',
    '-s',
    join(PROGRAMS, 'users.lua'),
  ];
  const before = ticksOf();
  const text = await client(['wrk', ...options, url]);
  const after = ticksOf();
  const { requests, us, p90, failed } = JSON.parse(text.trim().split('\n').at(-1)!);
  if (failed > 0) throw new Error(`${what}: ${failed} requests failed`);
  const ticks = [...after].reduce((sum, [pid, now]) => sum + (before.has(pid) ? now - before.get(pid)! : 0), 0);
  return { rate: (requests * 1e6) / us, p90: p90 / 1_000, cpu: (ticks * TICK) / requests };
}

/** Data for all users, and one page that is as it has to be. */
async function fill({ client, url, what }: Deployment): Promise<void> {
  const get = (path: string) => client(['curl', '-sS', '--max-time', '50', `${url}${path}`]);
  const filled = await get('/fill');
  if (filled !== '"filled"') throw new Error(`${what}: ${filled}`);
  const { user, posts } = JSON.parse(await get('/17'));
  if (user.name !== 'user number 17' || posts.length !== 9 || !posts[0].text.includes('mentions user number'))
    throw new Error(`${what}: a page is ${JSON.stringify({ user, posts })}`);
}

export const microservices: Evaluation = {
  name: 'microservices',
  title: `wrk, nginx, ${LOGIC.length} services with RPC, memcached and Redis: at saturation, against the same natively`,
  async run(progress): Promise<Figure[]> {
    const deployments: Deployment[] = [];
    const loads = new Map<Deployment, Load[]>();
    try {
      deployments.push(await native());
      deployments.push(await hosts('shim', { network: 'flat', sandbox: 'none' }));
      deployments.push(await hosts('functions', { network: 'nat', rtt: RTT }));
      for (const deployment of deployments) {
        progress(`the first page of ${deployment.what}`);
        await fill(deployment);
        loads.set(deployment, []);
      }
      for (let round = 0; round < WARM + ROUNDS; round++) {
        // The order changes: none is always the one after the busiest.
        const order = round % 2 === 0 ? deployments : [...deployments].reverse();
        for (const deployment of order) {
          progress(`round ${round} of ${WARM + ROUNDS}: ${deployment.what}`);
          const taken = await load(deployment);
          if (round >= WARM) loads.get(deployment)!.push(taken);
        }
      }
    } finally {
      for (const deployment of deployments) await deployment.close();
    }
    const [base, shim, functions] = deployments.map((deployment) => ({
      rate: median(loads.get(deployment)!.map(({ rate }) => rate)),
      p90: median(loads.get(deployment)!.map(({ p90 }) => p90)),
      cpu: median(loads.get(deployment)!.map(({ cpu }) => cpu)),
    }));
    return [
      absolute('native: pages a second', '1/s', base.rate, null),
      ratio('under the shim, one network: pages a second', '1/s', shim.rate, base.rate, { least: 0.98 }),
      ratio('the same: 90th percentile', 'ms', shim.p90, base.p90, null),
      ratio('the same: CPU time of a page', 'µs', shim.cpu, base.cpu, null),
      ratio(`host functions behind NATs, ${RTT} ms apart: pages a second`, '1/s', functions.rate, base.rate, null),
      ratio('the same: 90th percentile', 'ms', functions.p90, base.p90, null),
      ratio('the same: CPU time of a page', 'µs', functions.cpu, base.cpu, null),
    ];
  },
};
