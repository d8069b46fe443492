import type { ClusterEvent } from '../../runtime/protocol/frames';
import { clusterEvents } from '../operator';
import type { CommonOptions } from '../options';
import { outputTo } from '../output';
import { findHost, runningCluster } from '../state';
import { clock, type Paint, painter } from '../terminal';

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
    if (host === undefined || event.host === host) out.result(event, () => eventText(event, paint));
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

/** `12:03:04.123  web  allocating  by=client port=80`. Epochs are long numbers of no meaning to people: for `--json`. */
export function eventText({ time, host, event, detail }: ClusterEvent, paint: Paint): string {
  const facts = Object.entries(detail)
    .filter(([name, value]) => name !== 'epoch' && value !== null && value !== '')
    .map(([name, value]) => `${paint('dim', `${name}=`)}${factText(value)}`);
  const name = event.padEnd(14);
  const style = EVENT_STYLES[event];
  return [paint('dim', clock(time)), (host ?? '-').padEnd(12), style ? paint(style, name) : name, ...facts]
    .join(' ')
    .trimEnd();
}

function factText(value: string | number | boolean | null): string {
  if (typeof value === 'number') return String(Math.round(value * 10) / 10);
  return typeof value === 'string' && /\s/.test(value) ? JSON.stringify(value) : String(value);
}
