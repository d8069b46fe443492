import type { ClusterEdge } from '../../contract/control/edges';
import type { ClusterEvent, ClusterStatus, FromSeed } from '../../contract/control/from-seed';
import type { HostCommand } from '../../contract/control/to-seed';
import { type Control, ControlError, openControl, type SeedAccess, type SeedEndpoint } from './connection';
import { connectToFirst } from './endpoints';

interface OperatorOptions extends SeedAccess {
  readonly signal?: AbortSignal;
}

/** Milliseconds in which a standby takes over, with time to spare. */
const TAKEOVER_LIMIT = 15_000;

/** What the cluster's hosts do now. @throws ControlError */
export async function fetchStatus(options: OperatorOptions): Promise<ClusterStatus> {
  for await (const frame of request(options, (control) => control.send({ type: 'status', id: 1 }))) {
    if (frame.type === 'statusReply') return frame.status;
  }
  throw closedEarly(options);
}

/** Which hosts are started with which. @throws ControlError */
export async function fetchEdges(options: OperatorOptions): Promise<readonly ClusterEdge[]> {
  const edges: ClusterEdge[] = [];
  for await (const frame of request(options, (control) => control.send({ type: 'edges', id: 1 }))) {
    if (frame.type !== 'edgesReply') continue;
    edges.push(...frame.edges);
    if (!frame.more) return edges;
  }
  throw closedEarly(options);
}

/**
 * Gives an order about a host, and waits until it is carried out.
 * @throws ControlError also where there is no such host
 */
export async function orderHost(
  options: OperatorOptions,
  host: string,
  command: HostCommand,
): Promise<Pick<Extract<FromSeed, { type: 'commandReply' }>, 'ok' | 'reason' | 'state'>> {
  for await (const frame of request(options, (control) => control.send({ type: 'command', id: 1, host, command }))) {
    if (frame.type === 'commandReply') return frame;
  }
  throw closedEarly(options);
}

/** Has the seed read its cluster keys again. @returns ids of those that are accepted now. @throws ControlError */
export async function reloadKeys(options: OperatorOptions): Promise<readonly string[]> {
  for await (const frame of request(options, (control) => control.send({ type: 'reload', id: 1 }))) {
    if (frame.type === 'reloaded') return frame.keys;
  }
  throw closedEarly(options);
}

/**
 * The event log from its (kept) beginning; with `follow`, then on and on until the signal is aborted.
 * @throws ControlError when the connection is lost
 */
export async function* readEvents(
  options: OperatorOptions & { readonly follow: boolean },
): AsyncGenerator<ClusterEvent> {
  const { follow, signal } = options;
  for await (const frame of request(options, (control) => control.send({ type: 'events', id: 1, follow }))) {
    if (frame.type === 'event') yield frame.event;
    if (frame.type === 'eventsEnd') return;
  }
  if (!signal?.aborted) throw closedEarly(options);
}

function closedEarly({ seed }: OperatorOptions): ControlError {
  return new ControlError('unreachable', `the seed at ${seed} closed the connection`, seed);
}

/** The frames that answer one request, until the connection ends. It is closed when the caller stops reading. */
async function* request(options: OperatorOptions, ask: (control: Control) => void): AsyncGenerator<FromSeed> {
  const queue: FromSeed[] = [];
  let ended = false;
  let problem: string | undefined;
  let wake: () => void = () => undefined;
  const { seed, path, standby, signal } = options;
  const open = (endpoint: SeedEndpoint, given: AbortSignal | undefined) =>
    openControl({
      ...options,
      path: undefined,
      ...endpoint,
      signal: given,
      onFrame: (frame) => {
        queue.push(frame);
        wake();
      },
      onClose: ({ error }) => {
        // The other seed was first.
        if (given?.aborted && !signal?.aborted) return;
        if (error?.code === 'bad-frame') problem = error.message;
        ended = true;
        wake();
      },
    });
  const control = standby
    ? await connectToFirst({ endpoints: [{ seed, path }, standby], signal, limit: TAKEOVER_LIMIT }, open)
    : await open({ seed, path }, signal);
  try {
    ask(control);
    while (queue.length > 0 || !ended) {
      for (const frame of queue.splice(0)) {
        if (frame.type === 'refuse') throw new ControlError('refused', frame.reason, options.seed);
        yield frame;
      }
      if (queue.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve));
    }
    if (problem)
      throw new ControlError('unreachable', `the seed at ${options.seed} was lost: ${problem}`, options.seed);
  } finally {
    control.destroy();
  }
}
