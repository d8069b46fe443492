import type { ClusterEdge } from '../../contract/control/edges';
import type { CommonOptions } from '../options';
import { outputTo } from '../output/output';
import { columnsOf, duration, type Paint, painter, table } from '../output/terminal';
import { clusterEdges } from '../target/operator';
import { runningCluster } from '../target/state';

export async function edges(options: CommonOptions): Promise<void> {
  const known = await clusterEdges(runningCluster(options.state));
  outputTo(process.stdout, options.json === true).result({ edges: known }, () =>
    edgesText(known, painter(process.stdout), columnsOf(process.stdout)),
  );
}

const KIND_STYLES = { declared: 'blue', learnt: 'green', forgotten: 'dim' } as const;

export function edgesText(known: readonly ClusterEdge[], paint: Paint, columns = Number.POSITIVE_INFINITY): string {
  if (known.length === 0) return 'No edge is declared or learnt yet: no host has connected to another one.';
  const head = ['FROM', 'TO', 'KIND', 'HITS', 'MISSES', 'WASTED', 'WASTED STARTS'];
  const rows = known.map(({ from, to, kind, hits, misses, wastedMs, wastedStarts }) => [
    from,
    to,
    paint(KIND_STYLES[kind], kind),
    String(hits),
    String(misses),
    duration(wastedMs),
    String(wastedStarts),
  ]);
  return table([head.map((title) => paint('bold', title)), ...rows], new Set([3, 4, 5, 6]), columns);
}
