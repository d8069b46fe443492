import type { ClusterStatus } from '../../runtime/protocol/frames';
import type { HostState } from '../../runtime/protocol/location';
import { clusterStatus } from '../operator';
import type { CommonOptions } from '../options';
import { outputTo } from '../output';
import { runningCluster } from '../state';
import { duration, type Paint, painter, table } from '../terminal';

export async function ps(options: CommonOptions): Promise<void> {
  const status = await clusterStatus(runningCluster(options.state));
  outputTo(process.stdout, options.json === true).result(status, () =>
    statusText(status, Date.now(), painter(process.stdout)),
  );
}

const STATE_STYLES = {
  imagined: 'dim',
  allocating: 'yellow',
  running: 'green',
  suspended: 'blue',
  failed: 'red',
} as const satisfies Record<HostState, string>;

/** The table, and below it why hosts failed. */
export function statusText(status: ClusterStatus, now: number, paint: Paint): string {
  const head = ['HOST', 'ADDRESS', 'STATE', 'SINCE', 'ALLOCATIONS', 'ALLOCATE-MS', 'PORTS'];
  const rows = status.hosts.map((host) => [
    host.name,
    host.address,
    paint(STATE_STYLES[host.state], host.state) + (host.waiting > 0 ? ` (${host.waiting} waiting)` : ''),
    duration(now - host.since),
    String(host.allocations),
    host.allocateMs === null ? '-' : String(Math.round(host.allocateMs)),
    host.ports.length > 0 ? host.ports.join(',') : '-',
  ]);
  const reasons = status.hosts.filter((h) => h.reason).map((h) => `${paint('red', h.name)}: ${h.reason}`);
  const lines = [table([head.map((title) => paint('bold', title)), ...rows], new Set([3, 4, 5]))];
  return [...lines, ...(reasons.length > 0 ? ['', ...reasons] : [])].join('\n');
}
