/**
 * What the way through `expose` costs beside a plain proxy: bytes a second of one connection, and new connections a second,
 * against haproxy in TCP mode with splicing, on one thread, to the same guests. On network `flat`, where haproxy can reach
 * them at all; the same of network `nat`, where nothing else reaches them, for information.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAddress } from '../../src/contract/manifest';
import { readPlatform } from '../../src/local';
import { bootCluster, type TestCluster } from '../../test/support/cluster';
import { eventually } from '../../test/support/eventually';
import { type Evaluation, type Figure, ratio } from '../lib/figures';

const run = promisify(execFile);

const ROUNDS = 3;
const SECONDS = '3';
const CLIENTS = '32';
const REACH = { least: 0.9 };
const GUESTS = { small: { port: 18_200, hostPort: 8_000 }, bulk: { port: 18_201, hostPort: 5_201 } } as const;
type Guest = keyof typeof GUESTS;
const HAPROXY_PORTS: Record<Guest, number> = { small: 18_210, bulk: 18_211 };
const ALL = { maxConnectionsPerClient: 4_096, maxNewConnectionsPerMinutePerClient: 10_000_000 };

const NGINX = `
daemon off; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events { worker_connections 900; }
http {
  access_log off; keepalive_timeout 0;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 8000 backlog=1024; location / { return 200 "hello\\n"; } }
}
`;

function boot(network: 'flat' | 'nat'): Promise<TestCluster> {
  return bootCluster(
    [
      { name: 'small', command: ['/usr/sbin/nginx', '-c', '/var/task/nginx.conf'], idleTimeout: 600_000 },
      { name: 'bulk', command: ['iperf3', '-s', '-p', String(GUESTS.bulk.hostPort)], idleTimeout: 600_000 },
    ],
    {
      name: `ingress-${network}`,
      files: { 'nginx.conf': NGINX },
      exposes: Object.entries(GUESTS).map(([host, ports]) => ({ host, ...ports, ...ALL })),
      upArguments: ['--network', network],
    },
  );
}

async function newConnections(port: number): Promise<number> {
  const close = ['-H', 'Connection: close'];
  const { stdout } = await run('wrk', ['-t1', `-c${CLIENTS}`, `-d${SECONDS}s`, ...close, `http://127.0.0.1:${port}/`]);
  const failed = /Socket errors:.*|Non-2xx.*/.exec(stdout)?.[0];
  if (failed) throw new Error(`wrk at port ${port}: ${failed}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)![1]);
}

async function gigabits(port: number): Promise<number> {
  const { stdout } = await run('iperf3', ['-c', '127.0.0.1', '-p', String(port), '-t', SECONDS, '-J']);
  return JSON.parse(stdout).end.sum_received.bits_per_second / 1e9;
}

const MEASURES = { small: newConnections, bulk: gigabits } as const;

/** The first connection to each guest allocates it. */
async function allocate(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
    .on('error', () => undefined)
    .resume();
  socket.once('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
  socket.setTimeout(2_000, () => socket.destroy());
  await once(socket, 'close');
}

async function exposedPorts(cluster: TestCluster): Promise<Record<Guest, number>> {
  const { exposed = [] } = readPlatform(cluster.state)!;
  const ports = Object.fromEntries(exposed.map(({ host, port }) => [host, port])) as Record<Guest, number>;
  for (const port of Object.values(ports)) await allocate(port);
  for (const guest of Object.keys(GUESTS))
    await eventually(async () => (await cluster.host(guest)).state === 'running');
  return ports;
}

/** haproxy, to the real addresses of the guests. @returns ends it */
async function startHaproxy(cluster: TestCluster): Promise<() => Promise<void>> {
  const { network } = readPlatform(cluster.state)!;
  if (network.kind !== 'flat') throw new Error('haproxy reaches guests on network flat only');
  const listen = await Promise.all(
    (Object.keys(GUESTS) as Guest[]).map(async (guest) => {
      const virtual = parseAddress((await cluster.host(guest)).address)!;
      const real = `127.${network.number}.${(virtual >> 8) & 255}.${virtual & 255}`;
      return `listen ${guest}\n  bind 127.0.0.1:${HAPROXY_PORTS[guest]}\n  server guest ${real}:${GUESTS[guest].hostPort}\n`;
    }),
  );
  const file = join(cluster.folder, 'haproxy.cfg');
  const times = '  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n';
  writeFileSync(
    file,
    `global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  option splice-auto\n${times}${listen.join('')}`,
  );
  const child = spawn('haproxy', ['-f', file], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  await eventually(async () => {
    const socket = connect(HAPROXY_PORTS.small, '127.0.0.1');
    return new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('close', () => undefined);
    }).finally(() => socket.destroy());
  });
  return async () => {
    child.kill();
    await exited;
  };
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** One after the other in each round: what else the machine does hits both. */
async function rounds(
  ports: Record<Guest, number>,
  references: Record<Guest, number> | undefined,
): Promise<Record<Guest, { readonly ours: number; readonly theirs: number }>> {
  const result = {} as Record<Guest, { ours: number; theirs: number }>;
  for (const guest of Object.keys(GUESTS) as Guest[]) {
    const [ours, theirs]: number[][] = [[], []];
    for (let i = 0; i < ROUNDS; i++) {
      ours.push(await MEASURES[guest](ports[guest]));
      if (references) theirs.push(await MEASURES[guest](references[guest]));
    }
    result[guest] = { ours: median(ours), theirs: references ? median(theirs) : Number.NaN };
  }
  return result;
}

export const ingress: Evaluation = {
  name: 'ingress',
  title: 'Ingress: what the way through an exposed port costs',
  async run(progress): Promise<Figure[]> {
    const figures: Figure[] = [];
    let reference: Record<Guest, number> | undefined;
    for (const network of ['flat', 'nat'] as const) {
      progress(`network ${network}`);
      const cluster = await boot(network);
      let stop: (() => Promise<void>) | undefined;
      try {
        const ports = await exposedPorts(cluster);
        stop = network === 'flat' ? await startHaproxy(cluster) : undefined;
        const found = await rounds(ports, stop && HAPROXY_PORTS);
        reference ??= { small: found.small.theirs, bulk: found.bulk.theirs };
        const reach = network === 'flat' ? REACH : null;
        const of = network === 'flat' ? 'of haproxy' : 'of haproxy on flat, without a NAT';
        figures.push(
          ratio(`new connections, network ${network}, ${of}`, '1/s', found.small.ours, reference.small, reach),
          ratio(`throughput, network ${network}, ${of}`, 'Gbit/s', found.bulk.ours, reference.bulk, reach),
        );
      } finally {
        await stop?.();
        await cluster.dispose();
      }
    }
    return figures;
  },
};
