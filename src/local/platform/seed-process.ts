/**
 * Runs the seeds (one, or two where the cluster has a standby), and each of them again when it dies, as systemd does on
 * an instance. The launcher looks after them, without limits: so they end with the platform, however that ends.
 */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { LambdaEndpoint } from '../../contract/platform/platform-info';
import { LocalError } from '../errors';
import type { Network, SeedPlace } from '../network/network';
import { seedFile } from '../paths';
import { type Exit, INHERITED, type Launched, launch } from '../sandbox/launcher';
import type { BoundPort } from './exposed-ports';

export interface SeedOptions {
  readonly manifestFile: string;
  readonly keyFile: string;
  readonly network: Network;
  /** As it is reached from the seeds' slots. */
  readonly lambda: LambdaEndpoint;
  /** Which of two seeds serves is decided there. Absent: there is one. */
  readonly lease: LeaseEndpoint | undefined;
  readonly logDir: string;
  /** Exposed ports, which are bound here: they stay the same when a seed dies. */
  readonly exposed: readonly BoundPort[];
  /** Milliseconds that it may take to take the cluster down. */
  readonly stopLimit: number;
  /** They cannot be kept running. */
  readonly onGivenUp: (error: LocalError) => void;
}

/** Where the table of the lease is, as it is reached from the seeds' slots. */
export interface LeaseEndpoint {
  readonly table: string;
  readonly url: string;
}

export interface SeedProcesses {
  /** Resolves when one seed accepts connections; rejects when one ends before. */
  readonly listening: Promise<void>;
  /** Lets the one that serves take the cluster down, then ends them. */
  stop(): Promise<void>;
}

interface SeedProcess {
  /** Rejects when the first one ends before it is told that one listens. */
  readonly firstEnded: Promise<never>;
  listens(): void;
  stop(): Promise<void>;
}

const BACK_OFF = { first: 50, most: 2_000 };
/** A seed that ran this long was well: the next end is a new trouble. */
const HEALTHY = 10_000;
const GIVE_UP_AFTER = 8;
const LOOK_AGAIN = 5;

/** Names of the log files, in the order of the network's places. Names of hosts have no dots. */
const LOGS = ['seed.log', 'seed.standby.log'];

export function startSeedProcesses(options: SeedOptions): SeedProcesses {
  const { seeds } = options.network;
  const processes = seeds.map((place, i) =>
    keepRunning(options, {
      place,
      other: seeds.find((one) => one !== place),
      logFile: join(options.logDir, LOGS[i]),
    }),
  );
  const given = new AbortController();
  const ended = Promise.race(processes.map(({ firstEnded }) => firstEnded));
  ended.catch(() => given.abort());
  const listening = Promise.race([
    ended,
    Promise.any(seeds.map((place) => untilItListens(place, given.signal))).then(() => {
      given.abort();
      for (const process of processes) process.listens();
    }),
  ]);
  listening.catch(() => undefined); // handled where it is waited for
  return {
    listening,
    stop: async () => {
      await Promise.all(processes.map((process) => process.stop()));
    },
  };
}

/** It has no way to say that it listens but to listen. */
function untilItListens(place: SeedPlace, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      place.dial().then(
        (socket) => {
          socket.destroy();
          resolve();
        },
        () => {
          if (!signal.aborted) setTimeout(look, LOOK_AGAIN);
        },
      );
    };
    look();
  });
}

interface Place {
  readonly place: SeedPlace;
  readonly other: SeedPlace | undefined;
  readonly logFile: string;
}

function keepRunning(options: SeedOptions, at: Place): SeedProcess {
  let running: Launched | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  let failures = 0;
  let everListened = false;

  const start = (first: boolean): Launched => {
    const since = performance.now();
    const current = spawnSeed(options, at, first);
    running = current;
    void current.exited.then((exit) => {
      running = undefined;
      if (stopping || !everListened) return;
      failures = performance.now() - since > HEALTHY ? 1 : failures + 1;
      if (failures >= GIVE_UP_AFTER) {
        const message = `the seed ended ${failures} times in a row (${describe(exit)})`;
        return options.onGivenUp(new LocalError('seed', message, `See ${at.logFile}`));
      }
      timer = setTimeout(() => start(false), Math.min(BACK_OFF.most, BACK_OFF.first * 2 ** (failures - 1)));
    });
    return current;
  };

  const first = start(true);
  const firstEnded = first.exited.then((exit) => {
    throw new LocalError('seed', `the seed did not start (${describe(exit)})`, `See ${at.logFile}`);
  });
  firstEnded.catch(() => undefined); // handled where it is waited for

  return {
    firstEnded,
    listens: () => {
      everListened = true;
    },
    stop: async () => {
      stopping = true;
      clearTimeout(timer);
      const last = running;
      if (!last) return;
      const limit = setTimeout(() => last.kill(), options.stopLimit);
      last.signal('SIGINT');
      await last.exited;
      clearTimeout(limit);
    },
  };
}

function describe({ code, signal }: Exit): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

/** Without room for a log, the seed runs without one. */
function openLog(file: string): number {
  try {
    return openSync(file, 'a', 0o600);
  } catch {
    return openSync('/dev/null', 'w');
  }
}

function spawnSeed(options: SeedOptions, { place, other, logFile }: Place, first: boolean): Launched {
  const { manifestFile, keyFile, network, lambda, lease, exposed } = options;
  const { address } = place;
  const args = [
    ...['--manifest', manifestFile, '--key-file', keyFile, '--listen', address, '--address', address],
    // The welcome of members names the port.
    ...['--data-listen', `${address.slice(0, address.lastIndexOf(':'))}:0`],
    ...['--lambda-endpoint', lambda.url, '--region', lambda.region],
    ...(network.info.kind === 'flat' ? ['--flat', String(network.info.number)] : []),
    ...(other && lease
      ? ['--standby', other.address, '--lease-table', lease.table, '--dynamodb-endpoint', lease.url]
      : []),
    ...(place === network.seeds[0] ? [] : ['--second']),
    ...exposed.flatMap(({ key }, i) => ['--ingress', `${key}=${INHERITED + i}`]),
    // Of the first seed of a cluster, nobody is left to rejoin.
    ...(first ? ['--grace', '0'] : []),
  ];
  const { AWS_PROFILE, AWS_DEFAULT_PROFILE, AWS_SESSION_TOKEN, NODE_OPTIONS, ...environment } = process.env;
  const log = openLog(logFile);
  try {
    return launch(
      ['--mode', 'bare', '--unlimited', ...place.slot.options, '--', process.execPath, seedFile(), ...args],
      {
        ...environment,
        AWS_ACCESS_KEY_ID: lambda.accessKeyId,
        AWS_SECRET_ACCESS_KEY: lambda.secretAccessKey,
        AWS_REGION: lambda.region,
      },
      log,
      undefined,
      exposed.map(({ descriptor }) => descriptor),
    );
  } finally {
    closeSync(log);
  }
}
