/** Network `nat` of a running cluster, for tests: its faults, and programs in the namespaces of its hosts. */
import { spawn } from 'node:child_process';
import { commandInside, type Faults, faultsOf, type NatInfo, readPlatform, takeSlot } from '../../src/local';
import { finish, type Result, type RunOptions } from './cluster';

export interface TestNetwork {
  readonly info: NatInfo;
  readonly faults: Faults;
  /** Runs a program of this machine where the host's sandbox is. The host has to have one. */
  run(host: string, command: readonly string[], options?: RunOptions): Promise<Result>;
  /** Runs a program behind a NAT of its own: that of a client. */
  runAsClient(command: readonly string[], options?: RunOptions): Promise<Result>;
}

/** @param state the cluster's state directory */
export function networkOf(state: string): TestNetwork {
  const info = readPlatform(state)?.network;
  if (info?.kind !== 'nat') throw new Error(`the network of ${state} is ${info?.kind}`);
  const faults = faultsOf(info);
  const run = (line: readonly string[], options?: RunOptions) =>
    finish(
      spawn(line[0], line.slice(1), { stdio: 'pipe', env: { ...process.env, ...options?.env } }),
      line.join(' '),
      options,
    );
  return {
    info,
    faults,
    run: async (host, command, options) => run(commandInside(await faults.where(host), command), options),
    runAsClient: async (command, options) => {
      const place = await takeSlot(info);
      try {
        return await run(commandInside(place, command), options);
      } finally {
        place.leave();
      }
    },
  };
}
