import type { ClusterStatus } from '../../contract/control/from-seed';
import type { HostState } from '../../contract/control/location';
import type { CommonOptions } from '../options';
import { exposedAs, exposedTexts } from '../output/exposed';
import { outputTo } from '../output/output';
import { servicesOf, serviceTexts } from '../output/services';
import { columnsOf, duration, fold, iso, type Paint, painter, table } from '../output/terminal';
import { clusterStatus } from '../target/operator';
import { runningCluster } from '../target/state';

interface PsOptions extends CommonOptions {
  readonly why?: boolean;
}

export async function ps(options: PsOptions): Promise<void> {
  const running = runningCluster(options.state);
  const status = await clusterStatus(running);
  const exposed = running.exposed?.map(exposedAs);
  const instances = running.manifest.hosts.filter(({ kind }) => kind === 'instance').map(({ name }) => name);
  const services = servicesOf(running.manifest);
  const times = {
    ...status,
    services,
    ...(exposed ? { exposed } : {}),
    startedAt: iso(status.startedAt),
    hosts: status.hosts.map((host) => ({
      ...host,
      since: iso(host.since),
      heldBy: host.heldBy && { ...host.heldBy, since: iso(host.heldBy.since) },
      lastHeldBy: host.lastHeldBy && {
        ...host.lastHeldBy,
        since: iso(host.lastHeldBy.since),
        until: iso(host.lastHeldBy.until),
      },
    })),
  };
  outputTo(process.stdout, options.json === true).result(times, () =>
    [
      statusText(status, Date.now(), painter(process.stdout), columnsOf(process.stdout), options.why, instances),
      ...serviceTexts(services),
      ...exposedTexts(exposed ?? []),
    ].join('\n'),
  );
}

const STATE_STYLES = {
  imagined: 'dim',
  allocating: 'yellow',
  running: 'green',
  suspended: 'blue',
  failed: 'red',
} as const satisfies Record<HostState, string>;

/** Of a cluster that is up for so long, hosts that were never started are remarked upon, in milliseconds. */
const NEVER_STARTED = 60_000;

/** The table, and below it why hosts failed; with `why`, what keeps those up that run, and what kept the others. */
export function statusText(
  status: ClusterStatus,
  now: number,
  paint: Paint,
  columns = Number.POSITIVE_INFINITY,
  why = false,
  instances: readonly string[] = [],
): string {
  const head = ['HOST', 'ADDRESS', 'STATE', 'SINCE', 'ALLOCATIONS', 'ALLOCATE-MS', 'HELD BY', 'PORTS'];
  const rows = status.hosts.map((host) => [
    host.name,
    host.address,
    paint(STATE_STYLES[host.state], host.state) + (host.waiting > 0 ? ` (${host.waiting} waiting)` : ''),
    duration(now - host.since),
    String(host.allocations),
    host.allocateMs === null ? '-' : String(Math.round(host.allocateMs)),
    host.heldBy?.by ?? '-',
    host.ports.length > 0 ? host.ports.join(', ') : '-',
  ]);
  const reasons = status.hosts
    .filter((h) => h.reason)
    .map((h) => fold(`${paint('red', h.name)}: ${h.reason}`, columns, 2));
  const holders = status.hosts
    .filter(() => why)
    .flatMap((host) => heldText(host, now) ?? [])
    .map((text) => fold(text, columns, 2));
  const lines = [table([head.map((title) => paint('bold', title)), ...rows], new Set([3, 4, 5]), columns)];
  const blocks = [lines, reasons, holders, hints(status, instances, now, columns)];
  return blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n');
}

type HostStatus = ClusterStatus['hosts'][number];

function heldText({ name, heldBy, lastHeldBy }: HostStatus, now: number): string | undefined {
  if (heldBy) return `${name} is held by ${holding(heldBy)}`;
  if (!lastHeldBy) return undefined;
  const { since, until } = lastHeldBy;
  return `${name} was held last by ${holding(lastHeldBy)}, for ${duration(until - since)} until ${duration(now - until)} ago`;
}

function holding({ by, what }: Pick<NonNullable<HostStatus['heldBy']>, 'by' | 'what'>): string {
  switch (by) {
    case 'starting':
      return 'its start';
    case 'cpu':
      return `the CPU use of ${what ? `process ${what}` : 'its guests'}`;
    case 'waiting':
      return 'a connection that is being set up';
    case 'traffic':
      return `traffic on ${what ?? 'a connection'}`;
    default:
      return what ?? 'an open connection';
  }
}

/** A host function that only dials out never runs, unless something starts it. */
function hints(
  { hosts, startedAt }: ClusterStatus,
  instances: readonly string[],
  now: number,
  columns: number,
): string[] {
  const functions = hosts.filter(({ name }) => !instances.includes(name));
  const never = functions.filter(({ state, allocations }) => state === 'imagined' && allocations === 0);
  if (now - startedAt < NEVER_STARTED || never.length === 0 || never.length === functions.length) return [];
  const names = never.map(({ name }) => name).join(', ');
  const hint = `never started, as nobody connects to them: ${names}. A host that only dials out needs startWith or wakeSchedule, or 'imaginary start HOST'.`;
  return [fold(hint, columns, 2)];
}
