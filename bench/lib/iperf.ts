import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { commandInside } from '../../src/local';
import { IPERF_PORT, NATIVE_IPERF_PORT, type Paths } from './path';

/**
 * iperf3 between the same two hosts, natively and as guests. @returns Gbit/s of both, as the receiving side saw them
 */
export async function iperf(
  paths: Paths,
  host: string,
  direction: 'forward' | 'reverse',
  seconds: number,
): Promise<[native: number, ours: number]> {
  const { cluster, network } = paths;
  const client = (to: string, port: number) => [
    ...['iperf3', '--json', '-t', String(seconds), '-c', to, '-p', String(port)],
    ...(direction === 'reverse' ? ['-R'] : []),
  ];
  const at = await network.faults.where(host);
  await network.faults.forward(host, NATIVE_IPERF_PORT);
  const line = commandInside(at, ['iperf3', '-s', '--forceflush', '-p', String(NATIVE_IPERF_PORT)]);
  const server = spawn(line[0], line.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(server.stdout, 'data');
    const native = await network.runAsClient(client(at.publicAddress, NATIVE_IPERF_PORT));
    const ours = await cluster.exec(client(host, IPERF_PORT));
    return [received(native.stdout), received(ours.stdout)];
  } finally {
    server.kill();
  }
}

function received(output: string): number {
  const { end, error } = JSON.parse(output);
  if (error) throw new Error(`iperf3: ${error}`);
  return end.sum_received.bits_per_second / 1e9;
}
