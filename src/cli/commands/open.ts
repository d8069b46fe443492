import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { orderHost } from '../../runtime/control/index';
import { type Listening, listenFor } from '../forward/listening';
import { type ForwardCluster, keepForwarding } from '../forward/session';
import { parseTarget } from '../forward/target';
import { CliError, usageError } from '../output/errors';
import { outputTo } from '../output/output';
import { progressLine } from '../output/terminal';
import { access, clusterEvents, clusterStatus, explain } from '../target/operator';
import { type RunningCluster, withState } from '../target/state';
import { clusterOf, type ForwardOptions, untilSignal } from './forward';

interface OpenOptions extends ForwardOptions {
  /** Of the host. Default: see `portOf`. */
  readonly port?: number;
  /** Opens no browser. */
  readonly print?: boolean;
}

/** Forwards a host's port and opens it in a browser, until a signal. Returns the exit code, as `forward` does. */
export async function open(host: string, options: OpenOptions): Promise<number> {
  const { maxConnections: most, json = false, print } = options;
  if (host.includes(':')) {
    throw usageError(`'${host}' is no name of a host`, `For a port: imaginary open ${host.split(':')[0]} --port PORT`);
  }
  const cluster = await clusterOf(options);
  const port = options.port ?? (await portOf(cluster, parseTarget(`${host}:1`).host));
  const listening = listenFor([{ host, port }], options.bind);
  const url = urlOf(listening[0]);
  const onReady = () => {
    outputTo(process.stdout, json).result({ url, host, port }, () => url);
    const program = print ? undefined : browser(process.env);
    if (program)
      spawn(program, [url], { stdio: 'ignore', detached: true })
        .on('error', () => undefined)
        .unref();
  };
  return untilSignal((signal) => keepForwarding(cluster, { listening, most, json, signal, onReady }));
}

const TLS_PORTS = [443, 8443];

/** An address that stands for all of the machine's is reached at localhost, too. */
function urlOf({ address, local, port }: Listening): string {
  const at = address === '0.0.0.0' ? '127.0.0.1' : address;
  return `${TLS_PORTS.includes(port) ? 'https' : 'http'}://${at}:${local}/`;
}

/**
 * The port that its `readyWhen` asks; else the first one that its guest listens on, and if it does not run it is started
 * for that. Of a service, that of any of its hosts: of one that runs, if there is one.
 */
async function portOf(given: ForwardCluster, name: string): Promise<number> {
  if (!('local' in given)) {
    throw usageError('--port is missing', 'With --seed, name the port of the host: --port PORT');
  }
  const cluster = given.local;
  const { hosts, services, cluster: of } = cluster.manifest;
  const found = (wanted: string) => hosts.find((host) => host.name === wanted || host.aliases.includes(wanted)) ?? [];
  const service = services.find((one) => one.name === name);
  // Functions can be started.
  const members = (service ? [...service.hosts, ...service.instances] : [name]).flatMap(found);
  if (members.length === 0) {
    const next = `Its hosts: ${hosts.map((host) => host.name).join(', ')}. Of anything else name the port: --port PORT`;
    throw usageError(`the cluster '${of.name}' has no host '${name}'`, next);
  }
  for (const { readyWhen } of members) {
    if (readyWhen.kind === 'http' && readyWhen.port !== undefined) return readyWhen.port;
  }
  const names = members.map((member) => member.name);
  const up =
    service && (await clusterStatus(cluster)).hosts.find((one) => names.includes(one.name) && one.ports.length);
  const host = up?.name ?? names[0];
  const ports = await portsOf(cluster, host);
  if (ports.length < 2) return ports[0];
  return (await firstOf(cluster, host, ports)) ?? ports[0];
}

/** @throws CliError when there is none */
async function portsOf(cluster: RunningCluster, host: string): Promise<readonly number[]> {
  const ports = async () => (await clusterStatus(cluster)).hosts.find(({ name }) => name === host)?.ports ?? [];
  const known = await ports();
  if (known.length > 0) return known;
  const progress = progressLine();
  progress.step(`starting ${host}`);
  const next = `${withState(`imaginary events --host ${host}`, cluster.stateDir)}, or name the port: --port PORT`;
  try {
    const { ok, reason, state } = await orderHost(access(cluster), host, 'start');
    if (!ok) throw new CliError('not-done', `${host} is ${state}: ${reason}`, { next });
    const found = await ports();
    if (found.length > 0) return found;
    throw new CliError('no-port', `${host} runs, and listens on no port`, { next });
  } catch (error) {
    throw explain(error, cluster);
  } finally {
    progress.done();
  }
}

/** The one of these that it has listened on first since it was started. */
async function firstOf(cluster: RunningCluster, host: string, ports: readonly number[]): Promise<number | undefined> {
  const listened: number[] = [];
  for await (const event of clusterEvents(cluster, false)) {
    if (event.host !== host) continue;
    if (event.event === 'guest-started') listened.length = 0;
    if (event.event === 'listening' && !event.detail.protocol) listened.push(Number(event.detail.port));
  }
  return listened.find((port) => ports.includes(port));
}

/** The desktop's program that opens a URL, where there is a desktop. */
export function browser(env: NodeJS.ProcessEnv, platform = process.platform): string | undefined {
  if (platform !== 'darwin' && !env.DISPLAY && !env.WAYLAND_DISPLAY) return undefined;
  const wanted = platform === 'darwin' ? 'open' : 'xdg-open';
  const paths = (env.PATH ?? '').split(delimiter).filter(Boolean);
  return paths.map((folder) => join(folder, wanted)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
