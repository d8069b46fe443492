/**
 * Compiles the shim, the peer that stands in the supervisors' place (test/shim/peer) and the test programs
 * (test/shim/programs) with Zig, and runs programs natively or as a host of the peer's cluster.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { INCLUDE_NATIVE, INCLUDE_SHIM, SHIM_FOLDERS } from '../../scripts/bundle-outputs';

const run = promisify(execFile);
export const root = resolve(__dirname, '../..');
const nativeFolders = ['base', 'connector'].map((part) => join(root, 'src/native', part));
/** The peer, the programs and the cases. */
export const testFolder = __dirname;
const cache = join(root, 'node_modules/.cache');
const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';

export type Variant = 'plain' | 'trap' | 'musl' | 'address' | 'arm64';

/** musl's loader, where there is one; the musl programs need it. */
export const muslLoader = `/lib/ld-musl-${arch}.so.1`;

export const WARNINGS = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'];
const SHARED = ['-shared', '-fPIC', '-fvisibility=hidden'];

function target(variant: Variant): string {
  return `${variant === 'arm64' ? 'aarch64' : arch}-linux-${variant === 'musl' ? 'musl' : 'gnu.2.26'}`;
}

export function cFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(folder, name));
}

/** Builds once per content of the sources and their headers; the result's path. */
export async function build(
  name: string,
  sources: readonly string[],
  headers: readonly string[],
  command: readonly string[],
) {
  const hash = createHash('sha256').update(JSON.stringify(command));
  for (const file of [...sources, ...headers]) hash.update(`${basename(file)}\0`).update(readFileSync(file));
  const folder = join(cache, 'shim-test');
  const output = join(folder, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(output)) return output;
  mkdirSync(folder, { recursive: true });
  const temporary = `${output}.${process.pid}`;
  const [compiler, ...flags] = command;
  const env = {
    ...process.env,
    ZIG_GLOBAL_CACHE_DIR: process.env.ZIG_GLOBAL_CACHE_DIR ?? join(cache, 'zig'),
    ZIG_LOCAL_CACHE_DIR: process.env.ZIG_LOCAL_CACHE_DIR ?? join(cache, 'zig'),
  };
  await run(compiler, [...flags, '-o', temporary, ...sources], { cwd: root, env });
  renameSync(temporary, output);
  return output;
}

export function headersOf(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.h'))
    .map((name) => join(folder, name));
}

/** What more than one program includes. */
const sharedHeaders = ['src/contract/abi', 'src/native/base'].flatMap((folder) => headersOf(join(root, folder)));
export const shimSources = () => SHIM_FOLDERS.flatMap((folder) => cFiles(join(root, folder)));
export const shimHeaders = () => [...SHIM_FOLDERS.flatMap((folder) => headersOf(join(root, folder))), ...sharedHeaders];

function zig(): string {
  return require.resolve(`@zigc/${process.platform}-${process.arch}/bin/zig`);
}

/**
 * The shim as a shared library; `trap` ends the process at undefined behaviour, `address` is gcc's AddressSanitizer.
 */
export async function buildShim(variant: Variant): Promise<string> {
  const flags = [...WARNINGS, ...SHARED, ...INCLUDE_SHIM];
  const command =
    variant === 'address'
      ? ['gcc', ...flags, '-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-ldl', '-lpthread']
      : [zig(), 'cc', '-target', target(variant), ...flags, '-O2'].concat(
          variant === 'trap' ? ['-fsanitize=undefined', '-fsanitize-trap=undefined'] : [],
        );
  return build(`shim-${variant}.so`, shimSources(), shimHeaders(), command);
}

/** A program of test/shim/FOLDER. */
export async function buildProgram(name: string, variant: Variant = 'plain', group = 'programs'): Promise<string> {
  const folder = join(testFolder, group);
  const libc = variant === 'musl' ? ['-dynamic'] : [];
  const command = [
    zig(),
    'cc',
    '-target',
    target(variant),
    ...libc,
    ...WARNINGS,
    '-Isrc',
    '-O1',
    '-g',
    '-pthread',
    '-ldl',
  ];
  return build(`${name}-${variant}`, [join(folder, `${name}.c`)], headersOf(folder), command);
}

/** programs/NAME.c as a program that finds its plugin by its RUNPATH, and as that plugin, whose file name it is. */
export async function buildWithPlugin(name: string): Promise<readonly [string, string]> {
  const folder = join(testFolder, 'programs');
  const common = [zig(), 'cc', '-target', target('plain'), ...WARNINGS, '-O1', '-g', '-pthread', '-ldl'];
  const make = (label: string, flags: readonly string[]) =>
    build(label, [join(folder, `${name}.c`)], headersOf(folder), [...common, ...flags]);
  const program = await make(`${name}-runpath`, ['-Wl,-rpath,$ORIGIN']);
  const plugin = await make(`${name}-plugin.so`, ['-DPLUGIN', '-shared', '-fPIC']);
  return [program, basename(plugin)];
}

async function buildPeer(): Promise<string> {
  const folder = join(testFolder, 'peer');
  const headers = [...headersOf(folder), ...nativeFolders.flatMap(headersOf), ...sharedHeaders];
  // The native files define _GNU_SOURCE themselves.
  const warnings = WARNINGS.filter((flag) => flag !== '-D_GNU_SOURCE');
  const command = [zig(), 'cc', '-target', target('plain'), ...warnings, ...INCLUDE_NATIVE, '-O2', '-pthread'];
  return build('peer', [...cFiles(folder), ...nativeFolders.flatMap(cFiles)], headers, command);
}

function shimFile(variant: Variant): string {
  if (variant === 'musl') return 'layer/shim-musl.so';
  return join(variant === 'plain' ? 'layer' : `layer-${variant}`, 'shim-glibc.so');
}

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running program: its output line by line, and its end. */
export interface Guest {
  readonly process: ChildProcess;
  /** Resolves with the first line, past or future, that starts so; rejects when the program ends before. */
  line(start: string): Promise<string>;
  readonly ended: Promise<Result>;
  /** Ends it and waits for that. */
  stop(): Promise<Result>;
}

/**
 * Milliseconds after which a program that a test has left behind is killed. A program that hangs fails its test earlier,
 * by Jest's limit. A server runs for all tests of its file, however long a busy machine takes for them.
 */
const ORPHAN_LIMIT = 900_000;

export function start(command: readonly string[], env: NodeJS.ProcessEnv): Guest {
  const child = spawn(command[0], command.slice(1), { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const changed = () => {
    for (const wake of waiting) wake();
  };
  let stderr = '';
  let result: Result | undefined;
  const timer = setTimeout(() => child.kill('SIGKILL'), ORPHAN_LIMIT);
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  const ended = new Promise<Result>((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      result = { code, signal, stdout: lines.map((line) => `${line}\n`).join(''), stderr };
      done(result);
      changed();
    });
  });
  let taken = 0;
  const line = (wanted: string) =>
    new Promise<string>((done, fail) => {
      const look = () => {
        for (; taken < lines.length; taken++) {
          if (!lines[taken].startsWith(wanted)) continue;
          waiting.delete(look);
          done(lines[taken++]);
          return;
        }
        if (!result) return;
        waiting.delete(look);
        fail(new Error(`${command.join(' ')} ended (${result.code ?? result.signal}) without '${wanted}'\n${stderr}`));
      };
      waiting.add(look);
      look();
    });
  const stop = () => {
    child.kill('SIGKILL');
    return ended;
  };
  return { process: child, line, ended, stop };
}

export interface Peer {
  readonly folder: string;
  readonly pid: number | undefined;
  /** One command to the peer; its answer. */
  tell(command: string): Promise<string>;
  stats(): Promise<{ connects: number; listens: number; stales: number; logs: number; waiting: number }>;
  /** The environment of a guest of `host`. */
  env(host: string, variant?: Variant): NodeJS.ProcessEnv;
  start(host: string, command: readonly string[], variant?: Variant): Guest;
  run(host: string, command: readonly string[], variant?: Variant): Promise<Result>;
  /** A command without the shim. */
  native(command: readonly string[]): Guest;
  /** A program of test/shim/programs. */
  program(host: string, name: string, args: readonly string[], variant?: Variant): Promise<Guest>;
  /** Stops the peer and lets it go on: a supervisor that is busy. */
  pause(): void;
  resume(): void;
  /** Ends the peer alone: a supervisor that is gone. */
  halt(): Promise<void>;
  /** Ends all guests that are left, and the peer. */
  close(): Promise<void>;
}

export const HOSTS = { web: '100.64.1.1', api: '100.64.1.2', db: '100.64.1.3' };

/** Hosts connect to each other, or have their connections made by their supervisors. */
export type Network = 'flat' | 'handoff';

/** `flat`: the second byte of the hosts' real addresses, so that test files can run at the same time. */
export async function startPeer(
  flat: number,
  variants: readonly Variant[] = ['plain'],
  network: Network = 'flat',
): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-shim-'));
  const shims = new Map<Variant, string>();
  for (const variant of variants) {
    // Laid out as in the layer, where each build finds the other beside itself.
    const file = join(folder, shimFile(variant));
    mkdirSync(dirname(file), { recursive: true });
    copyFileSync(await buildShim(variant), file);
    shims.set(variant, file);
  }
  const hosts = Object.entries(HOSTS).map(([name, address]) => `${name}=${address}`);
  const mode = network === 'handoff' ? [network] : [];
  const peer = start([await buildPeer(), folder, String(flat), ...mode, ...hosts], process.env);
  await peer.line('ready');
  const guests = new Set<Guest>();
  const env = (host: string, variant: Variant = 'plain') => {
    const shim = shims.get(variant);
    if (!shim) throw new Error(`no shim '${variant}' was asked for`);
    return { ...process.env, LD_PRELOAD: [...preloaded(variant), shim].join(':'), IMAGINARY_DIR: join(folder, host) };
  };
  const tell = (command: string) => {
    peer.process.stdin?.write(`${command}\n`);
    return peer.line('');
  };
  const own = (guest: Guest) => {
    guests.add(guest);
    void guest.ended.finally(() => guests.delete(guest)).catch(() => undefined);
    return guest;
  };
  const startGuest = (host: string, command: readonly string[], variant?: Variant) =>
    own(start(command, env(host, variant)));
  return {
    folder,
    pid: peer.process.pid,
    tell,
    stats: async () => JSON.parse(await tell('stats')),
    env,
    start: (host, command, variant) => startGuest(host, command, variant),
    native: (command) => own(start(command, process.env)),
    run: (host, command, variant) => startGuest(host, command, variant).ended,
    program: async (host, name, args, variant) => {
      const file = await buildProgram(name, variant === 'musl' ? 'musl' : 'plain');
      return startGuest(host, [file, ...args], variant);
    },
    pause: () => void peer.process.kill('SIGSTOP'),
    resume: () => void peer.process.kill('SIGCONT'),
    halt: async () => {
      await peer.stop();
    },
    close: async () => {
      await Promise.all([...guests].map((guest) => guest.stop()));
      await peer.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const asan = findAddressSanitizer();

function findAddressSanitizer(): string | undefined {
  const { status, stdout } = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  // Without the library, gcc prints its bare name.
  return status === 0 && stdout.startsWith('/') ? stdout.trim() : undefined;
}

/** What must be loaded in front of the shim. */
function preloaded(variant: Variant): string[] {
  return variant === 'address' && asan ? [asan] : [];
}

/** gcc and its AddressSanitizer are there. */
export const hasAddressSanitizer = asan !== undefined;

/** Whether a program is there at all. */
export function has(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Fails with what the program said on standard error, when it did not end well or said anything there. */
export function passed(result: Result): void {
  expect(result).toMatchObject({ stderr: '', code: 0 });
}

/** A listening echo server on `host`; ports are never used twice in one test file. */
export async function startEcho(
  peer: Peer,
  host = 'api',
  address = '0.0.0.0',
): Promise<{ port: string; guest: Guest }> {
  const port = String(++lastPort);
  const guest = await peer.program(host, 'echo', [address, port]);
  await guest.line('listening');
  return { port, guest };
}
let lastPort = 5000;
