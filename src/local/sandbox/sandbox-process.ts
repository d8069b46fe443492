/**
 * The processes of a sandbox: started by the launcher with the environment that Lambda would give, and their Runtime
 * API.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Mailbox } from '../../runtime/mailbox';
import { REGION } from '../lambda/lambda-limits';
import type { SandboxEvent } from '../lambda/outcome';
import { type RuntimeApi, startRuntimeApi } from '../lambda/runtime-api';
import type { Network } from '../network/network';
import { shortTmp } from '../paths';
import type { LocalFunction } from '../types';
import { cgroupOptions } from './cgroup';
import { bindOptions, NODE, RUNTIME_ROOT, TASK_ROOT } from './folders';
import type { SandboxKind } from './isolation';
import { type Launched, launch } from './launcher';

/** What all sandboxes of a platform have in common. */
export interface SandboxSettings {
  readonly kind: SandboxKind;
  readonly stateDir: string;
  /** Begins the names of sandboxes, and so of their cgroups and folders. */
  readonly prefix: string;
  /** Folder with `bootstrap.js`. */
  readonly runtime: string;
  /** The folder that becomes /opt. */
  readonly opt: (layers: readonly string[]) => string;
  readonly network: Pick<Network, 'takeSlot' | 'environment'>;
}

export interface SandboxProcess {
  readonly api: RuntimeApi;
  readonly launched: Launched;
  /** @returns false: not everything stands still, and its network with it */
  freeze(): Promise<boolean>;
  thaw(): Promise<boolean>;
  /** Nothing of it is left. Never rejects. */
  readonly exited: Promise<void>;
  /** The next event; `timeout` after `limit` milliseconds. One call at a time. */
  nextEvent(limit: number): Promise<SandboxEvent>;
}

/** What a sandbox writes. Bare, guests reach their sockets under this path, which must be short for that. */
function sandboxFolder(name: string, settings: SandboxSettings): string {
  return settings.kind.mode === 'bare' ? join(shortTmp(), name) : join(settings.stateDir, 'sandboxes', name);
}

/** When its processes have ended for good. */
export function removeSandboxFolder(name: string, settings: SandboxSettings): void {
  rmSync(sandboxFolder(name, settings), { recursive: true, force: true });
}

/** @param owner whose slot in the network it gets */
export async function startSandboxProcess(
  fn: LocalFunction,
  owner: string,
  name: string,
  settings: SandboxSettings,
  write: (output: Buffer) => void,
): Promise<SandboxProcess> {
  const bare = settings.kind.mode === 'bare';
  const folder = sandboxFolder(name, settings);
  const tmp = join(folder, 'tmp');
  mkdirSync(folder, { mode: 0o700, recursive: true });
  mkdirSync(tmp, { recursive: true });
  const events = new Mailbox<SandboxEvent>();
  const slot = await settings.network.takeSlot(owner);
  // A sandbox whose network is not complete gets no invocation.
  const put = (event: SandboxEvent) =>
    void slot.ready.then(
      () => events.put(event),
      (error: Error) => events.put({ type: 'failed', error }),
    );
  // Only what was launched connects: a connection before that is somebody else's.
  let isOwn: Launched['owns'] = async () => false;
  const api = await startRuntimeApi(slot, (socket) => isOwn(socket), put).catch((error: Error) => {
    slot.close();
    throw error;
  });
  const options = [
    ...['--mode', settings.kind.mode, ...slot.options],
    ...cgroupOptions(settings.kind.cgroups, name, fn.memorySize),
    ...(bare ? bareCommand(fn, settings) : isolatedCommand(fn, settings, tmp)),
  ];
  const launched = launch(options, functionEnvironment(fn, settings, api.address, folder), undefined, name);
  isOwn = launched.owns;
  launched.started.catch((error: Error) => events.put({ type: 'failed', error }));
  launched.stdout?.on('data', write);
  launched.stderr?.on('data', write);
  const exited = launched.exited.then((exit) => {
    api.close();
    slot.close();
    events.put({ type: 'exit', exit });
  });
  const nextEvent = async (limit: number) => (await events.takeWithin(limit)) ?? ({ type: 'timeout' } as const);
  const silence = (on: boolean) =>
    slot.silence(on).then(
      () => true,
      () => false,
    );
  // Its network first, in both cases: what a thawed guest sends at once is not lost.
  const freeze = async () => (await silence(true)) && launched.freeze();
  const thaw = async () => (await silence(false)) && launched.thaw();
  return { api, launched, freeze, thaw, exited, nextEvent };
}

function isolatedCommand(fn: LocalFunction, settings: SandboxSettings, tmp: string): string[] {
  const { stateDir, runtime } = settings;
  const binds = bindOptions({ code: fn.code, opt: settings.opt(fn.layers), runtime, stateDir });
  return ['--tmp', tmp, ...binds, '--chdir', TASK_ROOT, '--', ...runtimeCommand(fn, settings, false)];
}

function bareCommand(fn: LocalFunction, settings: SandboxSettings): string[] {
  return ['--chdir', fn.code, '--', ...runtimeCommand(fn, settings, true)];
}

function runtimeCommand(fn: LocalFunction, settings: SandboxSettings, bare: boolean): string[] {
  if (fn.runtime !== 'provided') {
    return bare ? [process.execPath, join(settings.runtime, 'bootstrap.js')] : [NODE, `${RUNTIME_ROOT}/bootstrap.js`];
  }
  const inCode = existsSync(join(fn.code, 'bootstrap'));
  const folder = bare ? (inCode ? fn.code : settings.opt(fn.layers)) : inCode ? TASK_ROOT : '/opt';
  return [join(folder, 'bootstrap')];
}

/** What a function process finds on Lambda, less the credentials of a role. */
function functionEnvironment(fn: LocalFunction, settings: SandboxSettings, api: string, folder: string) {
  const bare = settings.kind.mode === 'bare';
  const opt = bare ? settings.opt(fn.layers) : '/opt';
  const task = bare ? fn.code : TASK_ROOT;
  const runtime = bare ? settings.runtime : RUNTIME_ROOT;
  const lang = dirname(dirname(bare ? process.execPath : NODE));
  const major = process.versions.node.split('.')[0];
  const libraries = [
    `${lang}/lib`,
    '/lib64',
    '/usr/lib64',
    runtime,
    `${runtime}/lib`,
    task,
    `${task}/lib`,
    `${opt}/lib`,
  ];
  return {
    ...fn.environment,
    LANG: 'C.UTF-8', // not every machine has Lambda's en_US.UTF-8
    TZ: ':UTC',
    PATH: [`${lang}/bin`, '/usr/local/bin', '/usr/bin', '/bin', `${opt}/bin`].join(':'),
    LD_LIBRARY_PATH: libraries.join(':'),
    NODE_PATH: [`${opt}/nodejs/node${major}/node_modules`, `${opt}/nodejs/node_modules`].join(':'),
    AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${major}.x`,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(fn.memorySize),
    AWS_LAMBDA_FUNCTION_NAME: fn.name,
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${fn.name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: 'local',
    AWS_LAMBDA_RUNTIME_API: api,
    AWS_DEFAULT_REGION: REGION,
    AWS_REGION: REGION,
    LAMBDA_RUNTIME_DIR: runtime,
    LAMBDA_TASK_ROOT: task,
    _HANDLER: fn.handler,
    ...settings.network.environment,
    ...(bare ? { TMPDIR: join(folder, 'tmp'), IMAGINARY_DIR: join(folder, 'run'), IMAGINARY_OPT: opt } : {}),
  };
}
