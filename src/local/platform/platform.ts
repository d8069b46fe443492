/** Boots and stops a cluster on this machine. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { dataPortOf, longestEnd, type Manifest } from '../../contract/manifest';
import type { LambdaEndpoint, PlatformInfo } from '../../contract/platform/platform-info';
import type { ApiServer } from '../api/api-server';
import { startDynamodbApi } from '../dynamodb/dynamodb-api';
import { LocalError } from '../errors';
import { translateManifest } from '../import/translate';
import { shareConcurrency } from '../lambda/concurrency';
import { type FunctionLog, openFunctionLog } from '../lambda/function-log';
import { createFunctionPool, type FunctionPool, type Owner } from '../lambda/functions';
import { startLambdaApi } from '../lambda/lambda-api';
import { LIMITS, REGION } from '../lambda/lambda-limits';
import { openNetwork } from '../network';
import type { Network } from '../network/network';
import { probe, type SandboxKind } from '../sandbox/isolation';
import { layerMerger } from '../sandbox/layers';
import type { SandboxSettings } from '../sandbox/sandbox-process';
import type { LocalFunction, Platform, PlatformOptions } from '../types';
import { bindExposed } from './exposed-ports';
import { withCertificates } from './local-certificates';
import { processStart, removePlatform, writeEnd, writePlatform } from './platform-file';
import { type LeaseEndpoint, startSeedProcesses } from './seed-process';
import { type StateDir, takeStateDir, writePrivate } from './state-dir';

/**
 * How long a sandbox is kept that holds no host any more. While a host is suspended in it, it gets no invocation
 * either, for as long as the host's release timeout. Lambda's is not documented; the shortest that was seen is about as
 * long.
 */
const RECYCLE_AFTER = 5 * 60_000;

/** Milliseconds that a seed which takes the cluster down has beyond what its hosts may take. */
const SEED_MARGIN = 1_000;

/** Bytes of a disk. */
const LITTLE = 1024 * 1024;

/** What has to be taken down again, in reverse order of its making. */
type Undo = Array<() => unknown>;

/** @throws LocalError */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const undo: Undo = [];
  try {
    return await boot(options, undo);
  } catch (error) {
    await unwind(undo);
    throw explain(error, options.stateDir);
  }
}

async function unwind(undo: Undo): Promise<void> {
  for (let step = undo.pop(); step; step = undo.pop()) await step();
}

async function boot(options: PlatformOptions, undo: Undo): Promise<Platform> {
  const { application, signal } = options;
  const declared = options.port ? withPort(application.manifest, options.port) : application.manifest;
  const manifest = withCertificates(declared, options);
  const state = await takeStateDir(options.stateDir);
  undo.push(state.release);
  const network = await openNetwork({
    ...options,
    name: state.prefix,
    hosts: manifest.hosts.map(({ name }) => name),
    port: manifest.seed.port,
    standby: manifest.seed.standby,
  });
  undo.push(network.close);
  signal?.throwIfAborted();

  const kind = await tryOneSandbox(state, options, network);
  const settings: SandboxSettings = {
    kind,
    stateDir: state.path,
    prefix: state.prefix,
    runtime: state.runtime,
    opt: layerMerger(state.layers),
    network,
  };
  const translated = kind.mode === 'bare' ? translateManifest(manifest, application.functions, settings.opt) : manifest;
  writePrivate(state.manifestFile, `${JSON.stringify(translated, null, 2)}\n`);
  const functions = openFunctions(application.functions, manifest, settings, state.logDir, options, undo);
  const { lambda, url } = await openLambda(functions, network, options, undo);
  const lease = manifest.seed.standby ? await openLease(lambda, network, undo) : undefined;
  signal?.throwIfAborted();

  const exposed = bindExposed(manifest, undo);
  const done = deferred();
  const { keyFile, manifestFile, logDir } = state;
  network.broken.catch(done.reject);
  const seed = startSeedProcesses({
    ...{ manifestFile, keyFile, network, lease, logDir, exposed },
    stopLimit: longestEnd(manifest.hosts) + SEED_MARGIN,
    lambda: { ...lambda, url },
    onGivenUp: done.reject,
  });
  undo.push(seed.stop);
  await Promise.race([seed.listening, aborted(signal)]);

  const info: PlatformInfo = {
    version: 1,
    pid: process.pid,
    processStart: processStart(process.pid) ?? '',
    startedAt: Date.now(),
    cluster: manifest.cluster.name,
    cidr: manifest.cluster.cidr,
    network: network.info,
    seed: network.seeds[0].address,
    standby: network.seeds[1]?.address,
    lambda,
    keyFile,
    manifestFile,
    logDir,
    isolation: kind.isolation,
    ...(exposed.length > 0 ? { exposed: exposed.flatMap(({ hosts }) => hosts) } : {}),
  };
  let failure: string | undefined;
  done.promise.catch((error: Error) => {
    failure = error.message + spaceLeft(state.path);
  });
  // Before the directory is given back to others.
  undo.splice(1, 0, () => {
    if (failure === undefined) removePlatform(state.path);
    else writeEnd(state.path, info, failure);
  });
  writePlatform(state.path, info);
  let stopped: Promise<void> | undefined;
  network.prepare();
  const stop = () => {
    stopped ??= unwind(undo).then(done.resolve);
    return stopped;
  };
  return { info, done: done.promise, stop };
}

const withPort = (manifest: Manifest, port: number): Manifest => ({
  ...manifest,
  seed: { ...manifest.seed, port, dataPort: dataPortOf(port) },
});

async function tryOneSandbox(
  state: StateDir,
  { sandbox = 'auto', cpuShare }: PlatformOptions,
  network: Network,
): Promise<SandboxKind> {
  const tmp = join(state.sandboxes, 'probe');
  mkdirSync(tmp);
  const kind = await probe(state.prefix, sandbox, tmp, network, cpuShare);
  rmSync(tmp, { recursive: true });
  return kind;
}

function openFunctions(
  functions: readonly LocalFunction[],
  manifest: Manifest,
  settings: SandboxSettings,
  logDir: string,
  { recycleAfter = RECYCLE_AFTER, concurrency = LIMITS.concurrency }: PlatformOptions,
  undo: Undo,
): Map<string, FunctionPool> {
  const account = shareConcurrency(concurrency, functions);
  const pools = new Map<string, FunctionPool>();
  const logs: FunctionLog[] = [];
  // After the pools, which write to them until they are closed.
  undo.push(() => Promise.all(logs.map((log) => log.close())));
  const openOwner = (name: string, releaseTimeout = 0): Owner => {
    const log = openFunctionLog(join(logDir, `${name}.log`), (error) => {
      warn(`${name}.log cannot be written: ${error.message}; what follows is lost`);
    });
    logs.push(log);
    return { name, log, keep: releaseTimeout + recycleAfter };
  };
  for (const fn of functions) {
    const hosts = manifest.hosts.filter(({ functionName }) => functionName === fn.name);
    const [first] = hosts;
    if (!fn.tenantIsolation) {
      const owner = openOwner(first?.name ?? fn.name, first?.releaseTimeout);
      pools.set(
        fn.name,
        createFunctionPool(fn, () => owner, settings, account),
      );
      continue;
    }
    // A file is open for as long as the platform runs: only hosts that are allocated get one.
    const owners = new Map<string, Owner>();
    const ownerOf = (tenant?: string) => {
      const host = hosts.find(({ name }) => name === tenant);
      const name = host?.name ?? fn.name;
      const owner = owners.get(name) ?? openOwner(name, host?.releaseTimeout);
      owners.set(name, owner);
      return owner;
    };
    pools.set(fn.name, createFunctionPool(fn, ownerOf, settings, account));
  }
  undo.push(() => Promise.all([...pools.values()].map((pool) => pool.close())));
  return pools;
}

/** @returns how it is called from this machine, and the URL that the seed calls it by */
async function openLambda(
  functions: ReadonlyMap<string, FunctionPool>,
  network: Network,
  { retryDelays, duplicateEvents }: PlatformOptions,
  undo: Undo,
): Promise<{ lambda: LambdaEndpoint; url: string }> {
  const credentials = {
    region: REGION,
    accessKeyId: `LOCAL${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
  };
  const onDropped = (name: string, id: string, reason: string) => warn(`event ${id} for ${name} is dropped: ${reason}`);
  const api = await startLambdaApi({
    functions,
    credentials,
    async: { retryDelays, duplicates: duplicateEvents, onDropped },
  });
  undo.push(api.close);
  return { lambda: { url: api.url, ...credentials }, url: await urlForSeeds(api, network) };
}

/** The table that decides which of two seeds serves. */
async function openLease(credentials: LambdaEndpoint, network: Network, undo: Undo): Promise<LeaseEndpoint> {
  const table = 'imaginary-lease';
  const api = await startDynamodbApi({ tables: [{ name: table, key: 'cluster' }], credentials });
  undo.push(api.close);
  return { table, url: await urlForSeeds(api, network) };
}

/** @returns the URL that seeds call it by, which is the same in the slot of each */
async function urlForSeeds(api: Pick<ApiServer, 'url' | 'listenIn'>, network: Network): Promise<string> {
  let { url } = api;
  if (network.info.kind === 'flat') return url;
  for (const { slot } of network.seeds) url = await api.listenIn(slot);
  return url;
}

/** Where the disk is full, or nobody reads, a line is lost; nothing ends for it. */
function warn(text: string): void {
  try {
    writeSync(2, `${new Date().toISOString()} ${text}\n`);
  } catch {
    // As said.
  }
}

/** Nothing, unless a full disk may be the reason. */
function spaceLeft(folder: string): string {
  try {
    const { bavail, bsize } = statfsSync(folder);
    const left = bavail * bsize;
    return left < LITTLE ? `; the disk of ${folder} is full (${left} bytes are left)` : '';
  } catch {
    return '';
  }
}

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
  promise.catch(() => undefined); // handled where it is waited for
  return { promise, resolve, reject };
}

function explain(error: unknown, stateDir: string): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return error;
  const message = `the disk of the state directory ${resolve(stateDir)} is full: ${(error as Error).message}`;
  const next = 'Free space there, or choose another state directory with --state DIR.';
  return new LocalError('disk-full', message, next, { cause: error });
}
