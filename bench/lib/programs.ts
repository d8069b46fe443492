/** Builds the benchmark's C programs and runs them natively or in a cluster. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TestCluster } from '../../test/support/cluster';

const FOLDER = resolve(__dirname, '../programs');

/** What `stats.h` prints; microseconds. */
export interface Stats {
  readonly count: number;
  readonly min: number;
  readonly median: number;
  readonly mean: number;
  readonly std: number;
  readonly p99: number;
  readonly max: number;
}

/** Compiles `bench/programs/NAME.c` with the system's libc into `outFolder`. */
export function build(name: string, outFolder: string): string {
  mkdirSync(outFolder, { recursive: true });
  const out = join(outFolder, name);
  const zig = resolve(__dirname, '../../node_modules/.bin/zig');
  execFileSync(zig, ['cc', '-O2', '-Wall', '-Wextra', '-Werror', '-o', out, join(FOLDER, `${name}.c`), '-lm'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return out;
}

export function native(command: readonly string[]): Stats {
  return JSON.parse(execFileSync(command[0], command.slice(1), { encoding: 'utf8' }));
}

export async function inCluster(cluster: TestCluster, command: readonly string[]): Promise<Stats> {
  const run = await cluster.exec(command, { timeout: 120_000 });
  if (run.code !== 0) throw new Error(`${command.join(' ')}: ${run.stderr}`);
  return JSON.parse(run.stdout);
}

/** Starts a server that prints `listening` when it does, and hands back how to stop it. */
export async function serve(command: readonly string[]): Promise<() => void> {
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((ready, fail) => {
    child.stdout.once('data', () => ready());
    child.once('exit', (code) => fail(new Error(`${command[0]} exited with ${code}`)));
  });
  return () => child.kill();
}
