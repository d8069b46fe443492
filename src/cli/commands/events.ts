import type { ClusterEvent } from '../../contract/control/from-seed';
import type { CommonOptions } from '../options';
import { outputTo } from '../output/output';
import { clock, columnsOf, fold, isoMicro, type Paint, painter } from '../output/terminal';
import { clusterEvents } from '../target/operator';
import { findHost, runningCluster } from '../target/state';

interface EventsOptions extends CommonOptions {
  readonly follow?: boolean;
  readonly host?: string;
}

export async function events(options: EventsOptions): Promise<void> {
  const cluster = runningCluster(options.state);
  const host = options.host === undefined ? undefined : findHost(cluster.manifest, options.host).name;
  const out = outputTo(process.stdout, options.json === true);
  const paint = painter(process.stdout);
  for await (const event of clusterEvents(cluster, options.follow === true)) {
    if (host !== undefined && event.host !== host) continue;
    out.result({ ...event, time: isoMicro(event.time) }, () => eventText(event, paint, columnsOf(process.stdout)));
  }
}

const EVENT_STYLES: Readonly<Record<string, Parameters<Paint>[0]>> = {
  allocating: 'yellow',
  resuming: 'yellow',
  running: 'green',
  resumed: 'green',
  suspended: 'blue',
  released: 'dim',
  failed: 'red',
  refused: 'red',
  exited: 'red',
};

/** Where a line goes on that does not fit: below its first fact, where there is room for one. */
const FACTS_AT = 13;

/**
 * `12:03:04.123  web  allocating  by=client port=80`. Epochs are long numbers of no meaning to people: for `--json`.
 */
export function eventText(
  { time, host, event, detail }: ClusterEvent,
  paint: Paint,
  columns = Number.POSITIVE_INFINITY,
): string {
  const facts = Object.entries(detail)
    .filter(([name, value]) => name !== 'epoch' && value !== null && value !== '')
    .map(([name, value]) => `${paint('dim', `${name}=`)}${factText(value)}`);
  const name = event.padEnd(14);
  const style = EVENT_STYLES[event];
  const line = [paint('dim', clock(time)), (host ?? '-').padEnd(12), style ? paint(style, name) : name, ...facts];
  return fold(line.join(' ').trimEnd(), columns, FACTS_AT);
}

function factText(value: string | number | boolean | null): string {
  if (typeof value === 'number') return String(Math.round(value * 10) / 10);
  return typeof value === 'string' && /\s/.test(value) ? JSON.stringify(value) : String(value);
}
