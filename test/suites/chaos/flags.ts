/** What the command lines of chaos and soak have in common, and how the two end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { Network } from './plan';

const REPORTS = resolve(__dirname, '../../../test-reports');

const COMMON = {
  network: { type: 'string', default: 'flat' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies ParseArgsConfig['options'];

/** The command line is wrong; the message says what is allowed. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: typeof COMMON & T }>>['values'];

/** What is given of a program's own flags, and of those of both. @throws UsageError */
export function flagsOf<T extends Options>(own: T): Values<T> {
  try {
    return parseArgs({ args: process.argv.slice(2), options: { ...COMMON, ...own } }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** @throws UsageError */
export function whole(flag: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new UsageError(`--${flag} is '${text}'; allowed: a whole number from ${low} to ${high}`);
}

/** @throws UsageError */
export function networkIn(text: string): Network {
  if (text === 'flat' || text === 'nat') return text;
  throw new UsageError(`--network is '${text}'; allowed: flat, nat`);
}

export interface Failure {
  readonly name: string;
  readonly reason: string;
}

/**
 * The last line of a run, and its report for CI.
 * @param file in `test-reports`
 * @param of how many may have failed
 */
export function report(file: string, of: number, failures: readonly Failure[], out: NodeJS.WritableStream) {
  const counts = { passed: of - failures.length, failed: failures.length, skipped: 0 };
  out.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(join(REPORTS, file), `${JSON.stringify({ ...counts, failures }, null, 2)}\n`);
  return counts;
}

/** Runs a program to its exit code: that of `main`, 2 if the command line is wrong, and 1 if the run broke. */
export function runToExit(name: string, main: () => Promise<number>): void {
  main().then(
    (code) => {
      process.exitCode = code;
    },
    (error: Error) => {
      const usage = error instanceof UsageError;
      process.stderr.write(`${name}: ${error.message}\n${usage ? 'See --help.\n' : ''}`);
      process.exitCode = usage ? 2 : 1;
    },
  );
}
