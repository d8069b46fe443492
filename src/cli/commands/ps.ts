import type { ClusterStatus } from '../../contract/control/from-seed';
import type { HostState } from '../../contract/control/location';
import type { CommonOptions } from '../options';
import { outputTo } from '../output/output';
import { columnsOf, duration, fold, iso, type Paint, painter, table } from '../output/terminal';
import { clusterStatus } from '../target/operator';
import { runningCluster } from '../target/state';

export async function ps(options: CommonOptions): Promise<void> {
  const status = await clusterStatus(runningCluster(options.state));
  const times = {
    ...status,
    startedAt: iso(status.startedAt),
    hosts: status.hosts.map((host) => ({ ...host, since: iso(host.since) })),
  };
  outputTo(process.stdout, options.json === true).result(times, () =>
    statusText(status, Date.now(), painter(process.stdout), columnsOf(process.stdout)),
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
export function statusText(
  status: ClusterStatus,
  now: number,
  paint: Paint,
  columns = Number.POSITIVE_INFINITY,
): string {
  const head = ['HOST', 'ADDRESS', 'STATE', 'SINCE', 'ALLOCATIONS', 'ALLOCATE-MS', 'PORTS'];
  const rows = status.hosts.map((host) => [
    host.name,
    host.address,
    paint(STATE_STYLES[host.state], host.state) + (host.waiting > 0 ? ` (${host.waiting} waiting)` : ''),
    duration(now - host.since),
    String(host.allocations),
    host.allocateMs === null ? '-' : String(Math.round(host.allocateMs)),
    host.ports.length > 0 ? host.ports.join(', ') : '-',
  ]);
  const reasons = status.hosts
    .filter((h) => h.reason)
    .map((h) => fold(`${paint('red', h.name)}: ${h.reason}`, columns, 2));
  const lines = [table([head.map((title) => paint('bold', title)), ...rows], new Set([3, 4, 5]), columns)];
  return [...lines, ...(reasons.length > 0 ? ['', ...reasons] : [])].join('\n');
}
