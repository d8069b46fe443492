/** When a guest is ready for connections from other hosts, and whether it still lives. */
import type { ManifestHost } from '../../../contract/manifest/manifest';
import { pause } from '../../pause';
import type { OwnPort } from '../sockets/locations';
import type { BesideCommand, Finding } from './command';
import { probeByCommand, probeByHttp } from './probe';

export interface ReadyOptions {
  readonly readyWhen: ManifestHost['readyWhen'];
  /** What a command of the host runs in. */
  readonly place: Pick<BesideCommand, 'environment' | 'directory'>;
  readonly ports: () => readonly OwnPort[];
  /** Of kind `log`: the guest has written the line. */
  readonly logged: Promise<void>;
  /** It is not ready yet; called when the reason has changed, and not often. */
  readonly onNotReady: (reason: string) => void;
  readonly signal: AbortSignal;
}

/** Reasons are reported no more often than this, in milliseconds. */
const REPORT_EVERY = 1_000;

/** Resolves when the guest is ready, or the signal is aborted. */
export async function untilReady(options: ReadyOptions): Promise<void> {
  const { readyWhen, signal } = options;
  if (readyWhen.kind === 'listening') return;
  if (readyWhen.kind === 'log') {
    options.onNotReady(`no line of its output matches ${new RegExp(readyWhen.pattern)}`);
    return options.logged;
  }
  let reported = { reason: '', at: Number.NEGATIVE_INFINITY };
  while (!signal.aborted) {
    const reason = await look(options);
    if (reason === undefined) return;
    const now = performance.now();
    if (reason !== reported.reason && now - reported.at >= REPORT_EVERY && !signal.aborted) {
      reported = { reason, at: now };
      options.onNotReady(reason);
    }
    await pause(readyWhen.interval, signal);
  }
}

/** @returns what is to be called with each line that the guest writes, and what resolves with the first that matches */
export function watchLines({ readyWhen }: Pick<ManifestHost, 'readyWhen'>) {
  if (readyWhen.kind !== 'log') return { onLine: undefined, logged: Promise.resolve() };
  let pattern: RegExp | undefined = new RegExp(readyWhen.pattern);
  let found: () => void = () => undefined;
  const logged = new Promise<void>((resolve) => {
    found = resolve;
  });
  const onLine = (line: string) => {
    if (!pattern?.test(line)) return;
    pattern = undefined;
    found();
  };
  return { onLine, logged };
}

async function look({ readyWhen, place, ports }: ReadyOptions): Promise<Finding> {
  if (readyWhen.kind === 'command') {
    const { command, timeout } = readyWhen;
    return probeByCommand({ ...place, command, timeout });
  }
  if (readyWhen.kind !== 'http') return undefined;
  const { path, port, timeout } = readyWhen;
  const listener = ports().find((one) => !one.protocol && one.scope !== 'loopback6' && (port ?? one.port) === one.port);
  if (!listener) return port === undefined ? 'it listens on no port' : `it does not listen on port ${port}`;
  return probeByHttp(listener.real, listener.realPort, path, timeout);
}

export interface LivenessOptions {
  readonly command: readonly string[];
  /** Milliseconds between two looks, and that one may take. */
  readonly interval: number;
  readonly place: ReadyOptions['place'];
  readonly signal: AbortSignal;
}

/** A guest that is this often in a row not well is given up, as Kubernetes has it by default. */
const MOST_FAILURES = 3;

/** Resolves when the guest is given up, with the reason; never, if the signal is aborted first. */
export async function untilGivenUp({ command, interval, place, signal }: LivenessOptions): Promise<string> {
  for (let failures = 0; ; ) {
    await pause(interval, signal);
    if (signal.aborted) return new Promise(() => undefined);
    const finding = await probeByCommand({ ...place, command, timeout: interval });
    failures = finding === undefined ? 0 : failures + 1;
    if (failures >= MOST_FAILURES) return `its livenessCommand failed ${failures} times: ${finding}`;
  }
}
