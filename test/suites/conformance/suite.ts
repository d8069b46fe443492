/** What a foreign test suite is to `npm run test:conformance`: parts that run natively or under the shim, alone. */
import { spawn } from 'node:child_process';
import { finish, type Result, type RunOptions, type TestCluster } from '../../support/cluster';
import type { Known, Outcomes } from './compare';

/** Runs a command to its end, natively or in the cluster. */
export type Runner = (command: readonly string[], options?: RunOptions) => Promise<Result>;

export interface Part {
  readonly name: string;
  /** About how long it runs, in seconds: the longest start first. */
  readonly weight: number;
  /** All its tests, or only some of them. */
  run(runner: Runner, only?: readonly string[]): Promise<Outcomes>;
}

export interface Suite {
  readonly name: string;
  readonly version: string;
  readonly parts: readonly Part[];
  /** What is not run on either side, with the reason. */
  readonly leftOut: readonly string[];
  readonly known: readonly Known[];
  /** Its parts disturb each other. */
  readonly alone?: boolean;
}

/** The suite cannot run here. */
export class SuiteMissingError extends Error {
  readonly code = 'SUITE_MISSING';
  constructor(
    readonly suite: string,
    message: string,
  ) {
    super(`${suite}: ${message}`);
    this.name = 'SuiteMissingError';
  }
}

export const natively: Runner = ([program, ...args], options = {}) =>
  finish(spawn(program, args, { stdio: 'pipe', env: { ...process.env, ...options.env } }), program, options);

export const underShim =
  (cluster: TestCluster): Runner =>
  (command, options) =>
    cluster.exec(command, options);
