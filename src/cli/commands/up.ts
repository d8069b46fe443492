import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { isPlatformRunning, type NetworkInfo, type PlatformFlags, type PlatformInfo, readPlatform } from '../../local';
import type { CommonOptions } from '../options';
import { CliError } from '../output/errors';
import { exposedAs, exposedTexts } from '../output/exposed';
import { foreseen } from '../output/foreseen';
import { outputTo } from '../output/output';
import { servicesOf } from '../output/services';
import { clock, columnsOf, duration, fold, iso, type Paint, painter, progressLine, table } from '../output/terminal';
import { type Application, findApplication, synthesize } from '../target/application';
import { type BootOptions, boot, interruption, keep } from '../target/boot';
import { DAEMON_LOG, display, readManifestFile, STATE_FOLDER, stateDirectory, withState } from '../target/state';
import type { DaemonMessage } from './daemon';

interface UpOptions extends CommonOptions, PlatformFlags {
  readonly cluster?: string;
  readonly foreground?: boolean;
}

export async function up(path: string, { json, foreground, ...options }: UpOptions): Promise<void> {
  const startedAt = performance.now();
  const application = findApplication(path);
  const state = options.state === undefined ? join(application.folder, STATE_FOLDER) : stateDirectory(options.state);
  refuseSecond(state);
  mkdirSync(state, { recursive: true, mode: 0o700 });

  const progress = progressLine();
  let missing: readonly string[] = [];
  const show = (info: PlatformInfo) => {
    progress.done();
    const booted = describe(info, state, performance.now() - startedAt, missing);
    outputTo(process.stdout, json === true).result(booted, () =>
      bootedText(booted, painter(process.stdout), columnsOf(process.stdout)),
    );
  };
  try {
    const source = await prepare(application, state, progress.step);
    missing = foreseen(source, options.cluster);
    const what: BootOptions = { ...options, state, ...source };
    progress.step('booting the local platform');
    if (foreground) await inForeground(what, show);
    else show(await inBackground(what));
  } finally {
    progress.done();
  }
}

function refuseSecond(state: string): void {
  const info = readPlatform(state);
  if (!info || !isPlatformRunning(info)) return;
  const since = `process ${info.pid}, since ${clock(info.startedAt).slice(0, 8)}`;
  throw new CliError('already-running', `the cluster '${info.cluster}' is already up in ${display(state)} (${since})`, {
    next: `${withState('imaginary down', state)}, or boot a second one with another --state DIR`,
  });
}

/** From what the user named to what the platform reads. */
async function prepare(application: Application, state: string, step: (text: string) => void) {
  if (application.kind === 'manifest') return { manifest: application.manifest };
  if (application.kind === 'assembly') return { assembly: application.assembly };
  step(`synthesising: ${application.command}`);
  const assembly = join(state, 'cdk.out');
  await synthesize(application, assembly);
  return { assembly };
}

async function inForeground(options: BootOptions, ready: (info: PlatformInfo) => void): Promise<void> {
  const interrupted = interruption();
  const given = new AbortController();
  void interrupted.then(() => given.abort());
  const platform = await boot(options, given.signal);
  ready(platform.info);
  await keep(platform, interrupted);
}

/** Starts this program again as the platform's own process and waits until it says that it is ready. */
async function inBackground(options: BootOptions): Promise<PlatformInfo> {
  const file = join(options.state, DAEMON_LOG);
  const log = openSync(file, 'w', 0o600);
  const args = Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return [value ?? []].flat().flatMap((one) => (one === true ? [flag] : [flag, String(one)]));
  });
  const child = fork(process.argv[1], ['daemon', ...args], { detached: true, stdio: ['ignore', log, log, 'ipc'] });
  closeSync(log);
  try {
    const message = await new Promise<DaemonMessage>((done, fail) => {
      child.once('message', (message) => done(message as DaemonMessage));
      child.once('error', fail);
      child.once('exit', (code, signal) => {
        fail(
          new CliError('daemon', `the platform's process ended while it booted (${signal ?? `exit code ${code}`})`, {
            next: `See ${display(file)}`,
          }),
        );
      });
    });
    if (message.type === 'ready') return message.info;
    // Nothing is left running when the user reads why.
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const { code, message: text, next, exitCode } = message.error;
    throw new CliError(code, text, { next, exitCode });
  } finally {
    child.removeAllListeners('exit');
    if (child.connected) child.disconnect();
    child.unref();
  }
}

/** What `up --json` prints: everything of platform.json but the credentials. */
function describe(info: PlatformInfo, stateDir: string, bootMs: number, missing: readonly string[]) {
  const { cluster, cidr, pid, startedAt, seed, standby, isolation, logDir } = info;
  const manifest = readManifestFile(info.manifestFile);
  const hosts = manifest.hosts.map(({ name, aliases, address }) => ({ name, aliases, address }));
  return {
    cluster,
    cidr,
    pid,
    startedAt: iso(startedAt),
    bootMs: Math.round(bootMs),
    seed,
    standby,
    network: describeNetwork(info.network),
    isolation,
    stateDir,
    logDir,
    missing,
    hosts,
    services: servicesOf(manifest),
    ...(info.exposed ? { exposed: info.exposed.map(exposedAs) } : {}),
  };
}

function describeNetwork(network: NetworkInfo) {
  if (network.kind === 'nat') return { kind: 'nat', range: network.range, nats: network.nats } as const;
  const { number } = network;
  return { kind: 'flat', real: `127.${number}.0.0/16`, loopback: `127.${number + 1}.0.0/16` } as const;
}

function networkText({ network, cidr, seed, standby }: Booted): string {
  if (network.kind === 'flat') {
    return `flat: addresses of ${cidr} are really ones of ${network.real}; no force keeps hosts apart`;
  }
  const all = Object.entries(network.nats);
  const count = (kind: string) => all.filter(([, other]) => other === kind).length;
  const most = all.map(([, kind]) => kind).reduce((best, kind) => (count(kind) > count(best) ? kind : best));
  const others = all.filter(([, kind]) => kind !== most);
  const exceptions = others.map(([owner, kind]) => `; ${owner}: ${kind}`).join('');
  return `nat: every host is behind a NAT (${most}${exceptions}), public addresses are of ${network.range}, ${standby === undefined ? `the seed's is ${seed}` : `the seeds' are ${seed} and ${standby}`}; nothing leads out of it (--network flat does)`;
}

type Booted = ReturnType<typeof describe>;

function countText(hosts: number): string {
  if (hosts === 0) return 'no hosts';
  return hosts === 1 ? '1 host; it is imagined' : `${hosts} hosts; all of them are imagined`;
}

export function bootedText(booted: Booted, paint: Paint, columns = Number.POSITIVE_INFINITY): string {
  const { isolation } = booted;
  const holds = [
    isolation.filesystem && 'read-only file system with a /tmp of its own',
    isolation.uid && 'uid 993',
    isolation.pids && 'own processes',
    isolation.devShm && 'no /dev/shm',
    isolation.memory && 'memory limit',
    isolation.freeze === 'cgroup' ? 'frozen by cgroup' : 'frozen by SIGSTOP',
  ].filter(Boolean);
  const rows = booted.hosts.map(({ name, aliases, address }) => [
    `  ${paint('bold', name)}`,
    address,
    aliases.join(' '),
  ]);
  const services = booted.services.map(({ name, address, hosts }) => [
    `  ${paint('bold', name)}`,
    address,
    `service of ${hosts.join(', ')}`,
  ]);
  const title = `${paint('green', booted.cluster)} is up, ${duration(booted.bootMs)} after the command: ${countText(booted.hosts.length)}`;
  const fact = (style: 'dim' | 'yellow', name: string, text: string) =>
    fold(`${paint(style, name)}${' '.repeat(11 - name.length)}${text}`, columns, 11);
  const next = ['exec', 'ps', 'events --follow', 'down'].map(
    (command) => withState(`imaginary ${command}`, booted.stateDir) + (command === 'exec' ? ' -- CMD…' : ''),
  );
  return [
    fold(title, columns, 2),
    ...(rows.length > 0 ? [table([...rows, ...services], new Set(), columns)] : []),
    ...exposedTexts(booted.exposed ?? []).map((text) => fact('dim', 'open', text)),
    fact('dim', 'network', networkText(booted)),
    fact('dim', 'isolation', holds.join(', ')),
    ...[...isolation.missing, ...booted.missing].map((what) => fact('yellow', 'missing', what)),
    fact('dim', 'state', display(booted.stateDir)),
    fact('dim', 'next', next.join(', ')),
  ].join('\n');
}
