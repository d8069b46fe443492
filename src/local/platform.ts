/** Boots and stops a cluster on this machine. */
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import type { Manifest } from '../manifest';
import { cgroupPrefix } from './cgroup';
import { LocalError } from './errors';
import { type FlatNetwork, takeFlatNetwork } from './flat';
import { type FunctionLog, openFunctionLog } from './function-log';
import { createFunctionPool, type FunctionPool } from './functions';
import { probe } from './isolation';
import { type LambdaApi, startLambdaApi } from './lambda-api';
import { REGION } from './lambda-limits';
import { layerMerger } from './layers';
import { cleanLeftovers } from './leftovers';
import { takeLock } from './lock';
import { bootstrapFile } from './paths';
import { isPlatformRunning, processStart, readPlatform, removePlatform, writePlatform } from './platform-file';
import type { SandboxSettings } from './sandbox-process';
import { type SeedProcess, startSeedProcess } from './seed-process';
import { translateManifest } from './translate';
import type { LocalFunction, Platform, PlatformInfo, PlatformOptions } from './types';

/** What has to be taken down again, in reverse order of its making. */
type Undo = () => unknown;

/** @throws LocalError */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const undo: Undo[] = [];
  try {
    return await boot(options, undo);
  } catch (error) {
    await unwind(undo);
    throw explain(error, options.stateDir);
  }
}

async function unwind(undo: Undo[]): Promise<void> {
  for (let step = undo.pop(); step; step = undo.pop()) await step();
}

async function boot(options: PlatformOptions, undo: Undo[]): Promise<Platform> {
  const { application, signal } = options;
  const stateDir = await openStateDir(options.stateDir, undo);
  const manifest = options.port ? withPort(application.manifest, options.port) : application.manifest;
  const prefix = cgroupPrefix(stateDir);

  const flat = await takeFlatNetwork(manifest.seed.port);
  undo.push(flat.release);
  const manifestFile = join(stateDir, 'manifest.json');
  const keyFile = join(stateDir, 'key');
  const logDir = join(stateDir, 'logs');
  mkdirSync(logDir, { recursive: true });
  const sandboxes = join(stateDir, 'sandboxes');
  const probeDir = join(sandboxes, 'probe');
  undo.push(() => rmSync(sandboxes, { recursive: true, force: true }));
  mkdirSync(probeDir, { recursive: true });
  writeFileSync(keyFile, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
  signal?.throwIfAborted();

  const kind = await probe(prefix, options.sandbox ?? 'auto', probeDir);
  rmSync(probeDir, { recursive: true });
  const settings: SandboxSettings = {
    kind,
    stateDir,
    prefix,
    runtime: copyRuntime(stateDir),
    opt: layerMerger(join(stateDir, 'layers')),
    environment: { IMAGINARY_FLAT: String(flat.number) },
  };
  const translated = kind.mode === 'bare' ? translateManifest(manifest, application.functions, settings.opt) : manifest;
  writeFileSync(manifestFile, `${JSON.stringify(translated, null, 2)}\n`);

  const done = deferred();
  const logs: FunctionLog[] = [];
  undo.push(() => Promise.all(logs.map((log) => log.close())));
  const functions = new Map<string, FunctionPool>();
  for (const fn of application.functions) {
    const log = openFunctionLog(join(logDir, `${logName(fn, manifest)}.log`), (error) => {
      warn(`${logName(fn, manifest)}.log cannot be written: ${error.message}; what follows is lost`);
    });
    logs.push(log);
    functions.set(fn.name, createFunctionPool(fn, settings, log));
  }
  undo.push(() => Promise.all([...functions.values()].map((pool) => pool.close())));

  const credentials = {
    accessKeyId: `LOCAL${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
  };
  const api: LambdaApi = await startLambdaApi({
    functions,
    credentials,
    async: {
      retryDelays: options.retryDelays,
      onDropped: (name, id, reason) => warn(`event ${id} for ${name} is dropped: ${reason}`),
    },
  });
  undo.push(api.close);
  const lambda = { url: api.url, region: REGION, ...credentials };
  const seedAddress = `127.${flat.number}.0.1:${manifest.seed.port}`;
  signal?.throwIfAborted();
  const seed: SeedProcess = startSeedProcess({
    ...{ manifestFile, keyFile, address: seedAddress, lambda, logFile: join(logDir, 'seed.log') },
    onGivenUp: done.reject,
  });
  undo.push(seed.stop);
  await Promise.race([seed.listening, aborted(signal)]);

  const info = describe({ flat, seed: seedAddress, lambda, keyFile, manifestFile, logDir, manifest, kind });
  undo.push(() => removePlatform(stateDir));
  writePlatform(stateDir, info);
  let stopped: Promise<void> | undefined;
  return {
    info,
    done: done.promise,
    stop: () => {
      stopped ??= unwind(undo).then(done.resolve);
      return stopped;
    },
  };
}

/** A state directory is one platform's at a time; what one left that was killed is removed. */
async function openStateDir(path: string, undo: Undo[]): Promise<string> {
  const stateDir = makeFolder(resolve(path));
  const lock = await takeLock(`state/${cgroupPrefix(stateDir)}`);
  const info = readPlatform(stateDir);
  if (!lock || (info && isPlatformRunning(info))) {
    lock?.release();
    const who = info ? `the cluster '${info.cluster}' is already running` : 'another cluster is already booting';
    throw new LocalError(
      'already-running',
      `${who} in ${stateDir}${info ? ` (process ${info.pid})` : ''}`,
      'imaginary down, or choose another state directory with --state DIR',
    );
  }
  undo.push(lock.release);
  await cleanLeftovers(stateDir);
  return stateDir;
}

function makeFolder(path: string): string {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK | constants.X_OK);
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error;
    const message = `${path} cannot be the state directory: ${(error as Error).message}`;
    throw new LocalError('state-dir', message, 'Choose another one with --state DIR.', { cause: error });
  }
}

interface Booted {
  readonly flat: FlatNetwork;
  readonly manifest: Manifest;
  readonly kind: SandboxSettings['kind'];
}

function describe(
  booted: Booted & Pick<PlatformInfo, 'seed' | 'lambda' | 'keyFile' | 'manifestFile' | 'logDir'>,
): PlatformInfo {
  const { flat, manifest, kind, seed, lambda, keyFile, manifestFile, logDir } = booted;
  return {
    version: 1,
    pid: process.pid,
    processStart: processStart(process.pid) ?? '',
    startedAt: Date.now(),
    cluster: manifest.cluster.name,
    cidr: manifest.cluster.cidr,
    flat: flat.number,
    seed,
    lambda,
    keyFile,
    manifestFile,
    logDir,
    isolation: kind.isolation,
  };
}

const withPort = (manifest: Manifest, port: number): Manifest => ({ ...manifest, seed: { ...manifest.seed, port } });

function logName(fn: LocalFunction, manifest: Manifest): string {
  return manifest.hosts.find((host) => host.functionName === fn.name)?.name ?? fn.name;
}

/** A copy that every user can read, wherever and with whatever umask this package was installed. */
function copyRuntime(stateDir: string): string {
  const folder = join(stateDir, 'runtime');
  const file = join(folder, 'bootstrap.js');
  mkdirSync(folder, { recursive: true });
  copyFileSync(bootstrapFile(), file);
  chmodSync(folder, 0o755);
  chmodSync(file, 0o644);
  return folder;
}

const warn = (text: string) => void process.stderr.write(`${new Date().toISOString()} ${text}\n`);

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function deferred() {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined); // whoever waits for it handles it
  return { promise, resolve, reject };
}

function explain(error: unknown, stateDir: string): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return error;
  const message = `the disk of the state directory ${resolve(stateDir)} is full: ${(error as Error).message}`;
  const next = 'Free space there, or choose another state directory with --state DIR.';
  return new LocalError('disk-full', message, next, { cause: error });
}
