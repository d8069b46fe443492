/** The demo's hands: the real `imaginary` command, the event log that it follows, the processes that really run. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { ClusterEvent } from './timeline';

const CLI = resolve(__dirname, '../../assets/cli/imaginary.js');
/** Where `up` in this folder keeps what it has to keep. */
export const STATE = resolve(__dirname, '.imaginary');

export interface HostStatus {
  readonly name: string;
  readonly address: string;
  readonly state: string;
  readonly allocations: number;
  readonly allocateMs: number | null;
}

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Unix time in milliseconds, with fraction. */
  readonly from: number;
  readonly to: number;
}

export const now = () => performance.timeOrigin + performance.now();

/** How the same would be typed. */
export function commandLine(args: readonly string[]): string {
  return `imaginary ${args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ')}`;
}

/** In this folder, as if typed here. */
function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [CLI, ...args], { cwd: __dirname, stdio: ['ignore', 'pipe', 'pipe'] });
}

export function imaginary(...args: string[]): Promise<Run> {
  const from = now();
  const child = start(args);
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text) => (stderr += text));
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code) => done({ code: code ?? 1, stdout, stderr, from, to: now() }));
  });
}

export interface Keeping {
  /** The first lines that it has printed. */
  readonly lines: readonly string[];
  end(): Promise<void>;
}

/** A command that goes on, `forward`: with a line for each of its arguments when it is ready. */
export async function keep(command: string, ...args: string[]): Promise<Keeping> {
  const child = start([command, ...args]);
  const closed = new Promise<number | null>((done) => child.once('close', done));
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text) => (stderr += text));
  const lines: string[] = [];
  const ready = new Promise<void>((done) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      lines.push(line);
      if (lines.length === args.length) done();
    });
  });
  const ended = closed.then((code) => {
    if (lines.length < args.length) throw new Error(`${commandLine([command, ...args])}: exit code ${code}\n${stderr}`);
  });
  await Promise.race([ready, ended]);
  return {
    lines,
    end: async () => {
      child.kill('SIGTERM');
      await closed;
    },
  };
}

/** Fails with what the command said when it fails. */
export async function must(...args: string[]): Promise<Run> {
  const run = await imaginary(...args);
  if (run.code !== 0) throw new Error(`${commandLine(args)}: exit code ${run.code}\n${run.stderr}${run.stdout}`);
  return run;
}

export async function ps(): Promise<HostStatus[]> {
  return JSON.parse((await must('ps', '--json')).stdout).hosts;
}

/** Where clients from outside reach an exposed host: a URL without a path. */
export async function exposed(host: string): Promise<string> {
  const found: Array<{ host: string; url: string }> = JSON.parse((await must('ps', '--json')).stdout).exposed ?? [];
  const one = found.find((entry) => entry.host === host);
  if (!one) throw new Error(`'${host}' is exposed nowhere`);
  return one.url;
}

/** What `up` wrote about the platform that it left running. */
const platform = () => JSON.parse(readFileSync(resolve(STATE, 'platform.json'), 'utf8'));
export const platformPid = (): number => platform().pid;
/** What this machine allows. `uid`: guests have a user of their own. */
export const isolation = (): { readonly uid: boolean } => platform().isolation;

/**
 * Until the host's sandbox has been frozen so many times: the platform writes END after it. The event `suspended` is a
 * little earlier, and until then a guest may still answer.
 */
export async function frozen(host: string, times: number): Promise<void> {
  for (const deadline = now() + 10_000; ; ) {
    const ends = (await must('logs', host)).stdout.split('END RequestId').length - 1;
    if (ends >= times) return;
    if (now() > deadline) throw new Error(`${host} is not frozen within 10 s after it was suspended`);
  }
}

export interface EventLog {
  readonly events: readonly ClusterEvent[];
  /** Calls `show` for the events so far and for those to come, until the returned function is called. */
  each(show: (event: ClusterEvent) => void): () => void;
  /** Resolves when `found` says yes to the events so far; fails after `timeout` milliseconds. */
  until(what: string, timeout: number, found: (events: readonly ClusterEvent[]) => boolean): Promise<void>;
  close(): void;
}

/** Follows the event log by `imaginary events --follow`. */
export function followEvents(): EventLog {
  const events: ClusterEvent[] = [];
  const waiting = new Set<() => void>();
  const shown = new Set<(event: ClusterEvent) => void>();
  const child = start(['events', '--follow', '--json']);
  let ended = false;
  const check = () => {
    for (const look of [...waiting]) look();
  };
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const told = JSON.parse(line);
    const event: ClusterEvent = { ...told, time: Date.parse(told.time) };
    events.push(event);
    for (const show of shown) show(event);
    check();
  });
  child.on('close', () => {
    ended = true;
    check();
  });
  return {
    events,
    each: (show) => {
      events.forEach(show);
      shown.add(show);
      return () => shown.delete(show);
    },
    until: (what, timeout, found) =>
      new Promise((done, fail) => {
        const settle = (error?: Error) => {
          clearTimeout(timer);
          waiting.delete(look);
          if (error) fail(error);
          else done();
        };
        const look = () => {
          if (found(events)) settle();
          else if (ended) settle(new Error(`the event log ended before: ${what}`));
        };
        const timer = setTimeout(() => settle(new Error(`not within ${timeout} ms: ${what}`)), timeout);
        waiting.add(look);
        look();
      }),
    close: () => void child.kill(),
  };
}

/** Names of all processes below `pid`, from the kernel: what really runs, whatever the cluster says of itself. */
export function processesBelow(pid: number): string[] {
  const parents = new Map<number, { parent: number; name: string }>();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      // pid (name) state parent …; the name may hold blanks and brackets.
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const end = stat.lastIndexOf(')');
      const parent = Number(stat.slice(end + 2).split(' ')[1]);
      parents.set(Number(entry), { parent, name: stat.slice(stat.indexOf('(') + 1, end) });
    } catch {
      // It ended while we looked.
    }
  }
  const isBelow = (id: number): boolean => {
    const parent = parents.get(id)?.parent;
    return parent === pid || (parent !== undefined && parent > 1 && isBelow(parent));
  };
  return [...parents].filter(([id]) => isBelow(id)).map(([, { name }]) => name);
}
