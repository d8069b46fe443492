import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { joinSecret, parseClusterKeys } from '../../contract/control/psk';
import { type Manifest, type ManifestHost, parseManifest } from '../../contract/manifest';
import { isPlatformRunning, type PlatformInfo, readPlatform } from '../../local';
import { CliError, usageError } from '../output/errors';

export const STATE_FOLDER = '.imaginary';

/** A cluster whose platform runs. */
export interface RunningCluster extends PlatformInfo {
  readonly stateDir: string;
  readonly manifest: Manifest;
}

/**
 * The state directory that is meant: the one given, else the nearest `.imaginary` from here upwards, else the one here.
 */
export function stateDirectory(given: string | undefined): string {
  if (given !== undefined) {
    if (statSync(given, { throwIfNoEntry: false })?.isDirectory() === false)
      throw usageError(`--state is '${given}', which is no folder`, 'Name a folder; up makes it where there is none.');
    return resolve(given);
  }
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    const candidate = join(folder, STATE_FOLDER);
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) return resolve(STATE_FOLDER);
  }
}

/** A command line for the cluster of this state directory: names the directory where the command would not find it. */
export function withState(command: string, stateDir: string): string {
  return stateDirectory(undefined) === resolve(stateDir) ? command : `${command} --state ${quoted(display(stateDir))}`;
}

function quoted(path: string): string {
  return /^[\w./:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

/** @throws CliError when nothing runs there */
export function runningCluster(given: string | undefined): RunningCluster {
  const stateDir = stateDirectory(given);
  const info = readPlatform(stateDir);
  if (!info || !isPlatformRunning(info)) throw notRunning(stateDir, info);
  return { ...info, stateDir, manifest: readManifestFile(info.manifestFile) };
}

export function isRunning(cluster: RunningCluster): boolean {
  const info = readPlatform(cluster.stateDir);
  return info?.pid === cluster.pid && isPlatformRunning(info);
}

function notRunning(stateDir: string, info: PlatformInfo | undefined): CliError {
  const where = display(stateDir);
  const log = join(stateDir, DAEMON_LOG);
  if (info?.ended) {
    const { time, reason } = info.ended;
    const ended = `its platform ended by itself at ${new Date(time).toISOString()}: ${reason}`;
    return new CliError('not-running', `the cluster of ${where} is not running: ${ended}`, {
      next: "'imaginary up' boots it again.",
    });
  }
  // Empty unless a platform ended by itself, or did not boot.
  if (info || statSync(log, { throwIfNoEntry: false })?.size) {
    return new CliError(
      'not-running',
      `the cluster of ${where} is not running: its platform did not boot, or ended by itself`,
      {
        next: `See ${display(log)} for why; '${withState('imaginary up', stateDir)}' boots it again.`,
      },
    );
  }
  return new CliError('not-running', `no cluster is running (state directory ${where})`, {
    next: `Boot one with '${withState('imaginary up PATH', stateDir)}', or name the state directory of one with --state DIR.`,
  });
}

/** What the process that `up` leaves running had to say. */
export const DAEMON_LOG = 'daemon.log';

export function readManifestFile(file: string): Manifest {
  return parseManifest(readFileSync(file, 'utf8'));
}

/** By name or alias. @throws CliError that lists the hosts */
export function findHost(manifest: Manifest, name: string): ManifestHost {
  const wanted = name.toLowerCase();
  const found = manifest.hosts.find((host) => host.name === wanted || host.aliases.includes(wanted));
  if (found) return found;
  const next = hostsOfService(manifest, wanted);
  if (next) throw usageError(`'${name}' is a service of the cluster '${manifest.cluster.name}', and no host`, next);
  const known = manifest.hosts.map((host) => [host.name, ...host.aliases].join(' or '));
  throw usageError(`the cluster '${manifest.cluster.name}' has no host '${name}'`, `Its hosts: ${known.join(', ')}`);
}

/** What to name instead of a service, where a host is meant. @returns undefined: there is no such service */
export function hostsOfService({ services }: Manifest, name: string): string | undefined {
  const service = services.find((one) => one.name === name);
  return service && `Name one of its hosts: ${[...service.instances, ...service.hosts].join(', ')}`;
}

/** The secret of an identity, made from the cluster's newest key. */
export function secretFor(cluster: RunningCluster, identity: string): string {
  return joinSecret(parseClusterKeys(readFileSync(cluster.keyFile, 'utf8'))[0], cluster.cluster, identity);
}

/** A path as a person would type it: relative where that is shorter. */
export function display(path: string): string {
  const here = relative(process.cwd(), path) || '.';
  return here.length < path.length ? here : path;
}
