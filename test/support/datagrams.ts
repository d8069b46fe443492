/** What holds for UDP between hosts on every network. */
import { join } from 'node:path';
import type { TestCluster, TestHost } from './cluster';
import { python } from './guests';

export const server = (name: string, ...args: string[]) => ({ name, command: [python, 'udp.py', ...args] });

export const udpHosts: readonly TestHost[] = [
  server('stats', '8125', '0.5'),
  server('other', '8125'),
  server('low', '53'),
  { ...server('quiet', '8125'), idleTimeout: 400 },
];

/** What a client that runs udp_client.py sees. */
export async function udpClient(cluster: TestCluster, ...args: string[]) {
  const run = await cluster.exec([python, join(cluster.folder, 'udp_client.py'), ...args]);
  expect(run).toMatchObject({ stderr: '', code: 0 });
  return JSON.parse(run.stdout);
}

export async function hostsAskEachOther(cluster: TestCluster): Promise<void> {
  const { answer } = await udpClient(cluster, 'sendto', 'other', '8125', 'ask', 'stats', '8125', 'question');
  const { address: other } = await cluster.host('other');
  const { address: stats } = await cluster.host('stats');
  expect(answer.source).toEqual([stats, 8125]);
  expect(answer.answer).toMatchObject({ data: 'question', peer: [other, 8125], host: 'stats' });
  const low = await udpClient(cluster, 'sendto', 'other', '8125', 'ask', 'low', '53', 'name');
  expect(low.answer.answer).toMatchObject({ data: 'name', peer: [other, 8125], local: ['0.0.0.0', 53], host: 'low' });
  expect(low.answer.source[1]).toBe(53);
}

export async function datagramWakesSuspended(cluster: TestCluster): Promise<void> {
  const first = await udpClient(cluster, 'sendto', 'quiet', '8125');
  await cluster.waitFor((event) => event.host === 'quiet' && event.event === 'suspended');
  const second = await udpClient(cluster, 'connected', 'quiet', '8125', 'awake?');
  expect(second.answer).toMatchObject({ data: 'awake?', host: 'quiet' });
  expect(first.source).toEqual(second.source);
  expect(await cluster.host('quiet')).toMatchObject({ allocations: 1 });
}
