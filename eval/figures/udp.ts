/**
 * What the way of datagrams through `expose` costs: round trips of one client that waits for each answer, and answers a
 * second to one that has 32 questions under way, against the same guest without a cluster. Each datagram passes JavaScript
 * twice in each direction, so the reach only finds what makes that much worse.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readPlatform } from '../../src/local';
import { bootCluster } from '../../test/support/cluster';
import { type Evaluation, type Figure, ratio } from '../lib/figures';

const ECHO = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
`;
const python = '/usr/bin/python3';
const [NATIVE, GUEST, EXPOSED] = [18_401, 8_400, 18_400];
const ROUNDS = 3;
const REACH = { least: 0.15 };
const SECONDS = 2;
const UNDER_WAY = 32;
/** A question that is not answered for so long is lost, and asked again. */
const LOST_AFTER = 1_000;

/** Answers a second to a client with so many questions under way. @throws AbortError when the first is not answered */
async function answers(port: number, underWay: number): Promise<number> {
  const socket = createSocket('udp4');
  const question = Buffer.alloc(200, 'x');
  let [count, last] = [0, performance.now()];
  const ask = () => socket.send(question, port, '127.0.0.1', () => undefined);
  socket.on('message', () => {
    count += 1;
    last = performance.now();
    ask();
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  // The host may have to be allocated first.
  ask();
  await once(socket, 'message', { signal: AbortSignal.timeout(30_000) });
  for (let i = 1; i < underWay; i++) ask();
  const from = { count, time: performance.now() };
  const watch = setInterval(() => {
    if (performance.now() - last > LOST_AFTER) for (let i = 0; i < underWay; i++) ask();
  }, LOST_AFTER / 4);
  await once(AbortSignal.timeout(SECONDS * 1_000), 'abort');
  clearInterval(watch);
  const rate = ((count - from.count) * 1_000) / (performance.now() - from.time);
  socket.close();
  return rate;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function compare(ours: number, theirs: number, underWay: number) {
  const [a, b]: number[][] = [[], []];
  for (let i = 0; i < ROUNDS; i++) {
    a.push(await answers(ours, underWay));
    b.push(await answers(theirs, underWay));
  }
  return { ours: median(a), theirs: median(b) };
}

export const udp: Evaluation = {
  name: 'udp',
  title: 'Ingress for UDP: what the way through an exposed port costs',
  async run(progress): Promise<Figure[]> {
    const figures: Figure[] = [];
    const native = spawn(python, ['-u', '-c', ECHO, String(NATIVE)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(native, 'close');
    try {
      await once(native.stdout, 'data');
      for (const network of ['flat', 'nat'] as const) {
        progress(`network ${network}`);
        const cluster = await bootCluster(
          [{ name: 'echo', command: [python, '-u', 'echo.py', String(GUEST)], idleTimeout: 600_000 }],
          {
            name: `udp-${network}`,
            files: { 'echo.py': ECHO },
            exposes: [{ host: 'echo', port: EXPOSED, hostPort: GUEST, protocol: 'udp' }],
            upArguments: ['--network', network],
          },
        );
        try {
          const { port } = readPlatform(cluster.state)!.exposed![0];
          const one = await compare(port, NATIVE, 1);
          const many = await compare(port, NATIVE, UNDER_WAY);
          const of = `network ${network}, of the guest without a cluster`;
          figures.push(
            ratio(`round trip, ${of}`, 'µs', 1e6 / one.ours, 1e6 / one.theirs, null),
            ratio(`answers with ${UNDER_WAY} under way, ${of}`, '1/s', many.ours, many.theirs, REACH),
          );
        } finally {
          await cluster.dispose();
        }
      }
    } finally {
      native.kill();
      await exited;
    }
    return figures;
  },
};
