import { constants } from 'node:os';
import { type Listening, listenFor } from '../forward/listening';
import { type ForwardCluster, forwardInside, keepForwarding } from '../forward/session';
import { parseTargets } from '../forward/target';
import type { CommonOptions } from '../options';
import { outputTo } from '../output/output';
import { type RemoteOptions, remoteCluster } from '../target/remote';
import { runningCluster } from '../target/state';

export interface ForwardOptions extends CommonOptions, RemoteOptions {
  /** IPv4 address to listen on. */
  readonly bind: string;
  readonly maxConnections: number;
  /** Network `nat`: the listening sockets of this process, which is in its slot in the network. */
  readonly inside?: string;
}

/** Forwards until a signal. Returns the exit code: 128 + the signal's number, as `exec` has it. */
export async function forward(texts: readonly string[], options: ForwardOptions): Promise<number> {
  const { inside, state, maxConnections: most, json = false } = options;
  if (inside !== undefined) return untilSignal((signal) => forwardInside(inside, { state, most, signal }));
  const targets = parseTargets(texts);
  const cluster = await clusterOf(options);
  const listening = listenFor(targets, options.bind);
  return untilSignal((signal) =>
    keepForwarding(cluster, { listening, most, json, signal, onReady: () => show(listening, json) }),
  );
}

/** @throws CliError */
export async function clusterOf(options: ForwardOptions): Promise<ForwardCluster> {
  const remote = await remoteCluster(options);
  return remote ? { remote } : { local: runningCluster(options.state) };
}

/** Runs it with a signal that is aborted by SIGINT, SIGTERM or SIGHUP. */
export async function untilSignal(run: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const ending = new AbortController();
  let ended: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    ended ??= name;
    ending.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, onSignal);
  try {
    const code = await run(ending.signal);
    return ended ? 128 + constants.signals[ended] : code;
  } finally {
    for (const name of signals) process.off(name, onSignal);
  }
}

function show(listening: readonly Listening[], json: boolean): void {
  const output = outputTo(process.stdout, json);
  const forwards = listening.map(({ address, local, host, port }) => ({ local: `${address}:${local}`, host, port }));
  const line = ({ address, local, host, port, note }: Listening) =>
    `${address}:${local} -> ${host}:${port}${note === undefined ? '' : ` (${note})`}`;
  output.result({ forwards }, () => listening.map(line).join('\n'));
}
