/** The processes of a sandbox: started by the launcher with the environment that Lambda would give, and their Runtime API. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REGION } from '../lambda/lambda-limits';
import type { Happening } from '../lambda/outcome';
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
  readonly network: Pick<Network, 'place' | 'environment'>;
}

export interface SandboxProcess {
  readonly api: RuntimeApi;
  readonly launched: Launched;
  /** Nothing of it is left. Never rejects. */
  readonly exited: Promise<void>;
  /** The next thing that happens, each one told once; `timeout` after so many milliseconds. One call at a time. */
  happening(limit: number): Promise<Happening>;
}

/** What a sandbox writes. Bare, guests reach their sockets under this path, which must be short for that. */
function sandboxFolder(name: string, settings: SandboxSettings): string {
  return settings.kind.mode === 'bare' ? join(shortTmp(), name) : join(settings.stateDir, 'sandboxes', name);
}

/** When its processes have ended for good. */
export function removeSandboxFolder(name: string, settings: SandboxSettings): void {
  rmSync(sandboxFolder(name, settings), { recursive: true, force: true });
}

/** @param owner whose place in the network it gets */
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
  const happenings = eventQueue();
  const place = await settings.network.place(owner);
  // Nothing is asked of a sandbox whose network is not complete.
  const happen = (event: Happening) =>
    void place.ready.then(
      () => happenings.push(event),
      (error: Error) => happenings.push({ type: 'failed', error }),
    );
  // Only what was launched connects, so whoever connects before that is somebody else.
  let isOwn: Launched['owns'] = async () => false;
  const api = await startRuntimeApi(place, (socket) => isOwn(socket), happen).catch((error: Error) => {
    place.close();
    throw error;
  });
  const options = [
    ...['--mode', settings.kind.mode, ...place.options],
    ...cgroupOptions(settings.kind.cgroups, name, fn.memorySize),
    ...(bare ? bareCommand(fn, settings) : isolatedCommand(fn, settings, tmp)),
  ];
  const launched = launch(options, functionEnvironment(fn, settings, api.address, folder), undefined, name);
  isOwn = launched.owns;
  launched.started.catch((error: Error) => happenings.push({ type: 'failed', error }));
  launched.stdout?.on('data', write);
  launched.stderr?.on('data', write);
  const exited = launched.exited.then((exit) => {
    api.close();
    place.close();
    happenings.push({ type: 'exit', exit });
  });
  return { api, launched, exited, happening: happenings.next };
}

function eventQueue() {
  const events: Happening[] = [];
  let wake: () => void = () => undefined;
  const next = (limit: number) =>
    new Promise<Happening>((resolve) => {
      const timer = setTimeout(() => {
        wake = () => undefined;
        resolve({ type: 'timeout' });
      }, limit);
      wake = () => {
        const event = events.shift();
        if (!event) return;
        wake = () => undefined;
        clearTimeout(timer);
        resolve(event);
      };
      wake();
    });
  const push = (event: Happening) => {
    events.push(event);
    wake();
  };
  return { next, push };
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
