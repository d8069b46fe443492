/**
 * What `imaginary forward` costs beside haproxy in TCP mode, which splices as well: to the same guests, on network `flat`,
 * where both reach them at loopback addresses.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { median } from '../../bench/lib/rows';
import { aliasAddress } from '../../src/contract/abi/table';
import { formatAddress, parseAddress } from '../../src/contract/manifest/address';
import { readPlatform } from '../../src/local';
import { bootCluster, finish, type TestCluster } from '../../test/support/cluster';
import { startForward } from '../../test/support/forward';
import { type Evaluation, type Figure, ratio } from '../lib/figures';
import { nginxConf } from '../lib/nginx';

const ROUNDS = 5;
const SECONDS = 3;
const IPERF = 5201;
const WEB = 8000;
const CLIENTS = 16;

const HOSTS = [
  { name: 'sink', command: ['iperf3', '-s', '--forceflush', '-p', String(IPERF)] },
  { name: 'web', command: ['nginx', '-p', '.', '-c', 'nginx.conf', '-e', 'stderr'] },
];

const run = async (command: readonly string[]) => {
  const result = await finish(spawn(command[0], command.slice(1), { stdio: 'pipe' }), command.join(' '));
  if (result.code !== 0) throw new Error(`${command.join(' ')}: ${result.stderr}${result.stdout}`);
  return result.stdout;
};

/** Gbit/s. @param flags `-R`: the guest sends */
async function throughput(port: number, ...flags: string[]): Promise<number> {
  const output = await run([
    'iperf3',
    '--json',
    '-t',
    String(SECONDS),
    '-c',
    '127.0.0.1',
    '-p',
    String(port),
    ...flags,
  ]);
  return JSON.parse(output).end.sum_received.bits_per_second / 1e9;
}

/** New connections a second, each for one request. */
async function connections(port: number): Promise<number> {
  const load = ['wrk', '-t', '1', '-c', String(CLIENTS), '-d', String(SECONDS), '-H', 'Connection: close'];
  const output = await run([...load, `http://127.0.0.1:${port}/`]);
  if (/Socket errors|Non-2xx/.test(output)) throw new Error(`wrk: ${output}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(output)![1]);
}

/** Ports of this machine that nobody has at the moment. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** Where the guests really listen. */
async function addresses(cluster: TestCluster): Promise<string[]> {
  const network = readPlatform(cluster.state)?.network;
  if (network?.kind !== 'flat') throw new Error('the network is not flat');
  const hosts = await cluster.ps();
  return HOSTS.map(({ name }) => {
    const { address } = hosts.find((host) => host.name === name)!;
    return formatAddress(aliasAddress(network.number, parseAddress(address)!));
  });
}

/** haproxy in front of both guests. @returns its ports, and its end */
async function startProxy(cluster: TestCluster): Promise<{ ports: number[]; end: () => Promise<void> }> {
  const ports = await freePorts(2);
  const guests = await addresses(cluster);
  const sections = [IPERF, WEB].map(
    (port, i) => `listen l${i}\n  bind 127.0.0.1:${ports[i]}\n  server s ${guests[i]}:${port}\n`,
  );
  const file = join(cluster.folder, 'haproxy.cfg');
  const common = 'mode tcp\n  option splice-auto\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s';
  writeFileSync(file, `global\n  maxconn 2000\n  nbthread 1\ndefaults\n  ${common}\n${sections.join('')}`);
  const child = spawn('/usr/sbin/haproxy', ['-W', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = new Promise<void>((done) => child.once('close', () => done()));
  let said = '';
  const ready = new Promise<void>((done) => {
    child.stderr.on('data', (text) => {
      said += text;
      if (said.includes('Loading success')) done();
    });
  });
  const failed = closed.then(() => Promise.reject(new Error(`haproxy: ${said}`)));
  failed.catch(() => undefined);
  await Promise.race([ready, failed]);
  return {
    ports,
    end: async () => {
      child.kill();
      await closed;
    },
  };
}

async function measure(progress: (text: string) => void): Promise<Figure[]> {
  const cluster = await bootCluster(HOSTS, {
    upArguments: ['--network', 'flat'],
    files: { 'nginx.conf': nginxConf(WEB, 'return 200 "hello";') },
  });
  try {
    const forward = await startForward(cluster, [`0:sink:${IPERF}`, `0:web:${WEB}`]);
    // Both hosts run before anything is measured.
    await throughput(forward.ports[0]);
    await connections(forward.ports[1]);
    const proxy = await startProxy(cluster);
    const rows = [
      { what: 'throughput, this side sends', unit: 'Gbit/s', of: 0, by: (port: number) => throughput(port) },
      { what: 'throughput, the guest sends', unit: 'Gbit/s', of: 0, by: (port: number) => throughput(port, '-R') },
      { what: 'new connections, 16 clients', unit: '1/s', of: 1, by: connections },
    ];
    const figures: Figure[] = [];
    for (const { what, unit, of, by } of rows) {
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`${what}, round ${round}`);
        theirs.push(await by(proxy.ports[of]));
        ours.push(await by(forward.ports[of]));
      }
      figures.push(ratio(what, unit, median(ours), median(theirs), { least: 0.9 }));
    }
    await proxy.end();
    await forward.end('SIGTERM');
    return figures;
  } finally {
    await cluster.dispose();
  }
}

export const forward: Evaluation = {
  name: 'forward',
  title: 'Forward: connections of this machine to hosts, beside haproxy in TCP mode',
  run: measure,
};
