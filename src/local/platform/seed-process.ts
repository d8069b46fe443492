/**
 * Runs the seed, and runs it again when it dies, as systemd does on an instance. The launcher looks after it, without
 * limits: so it ends with the platform, however that ends.
 */
import { closeSync, openSync } from 'node:fs';
import type { LambdaEndpoint } from '../../contract/platform/platform-info';
import { LocalError } from '../errors';
import type { Network } from '../network/network';
import { seedFile } from '../paths';
import { type Exit, type Launched, launch } from '../sandbox/launcher';

export interface SeedOptions {
  readonly manifestFile: string;
  readonly keyFile: string;
  readonly network: Network;
  /** As it is reached from the seed's slot. */
  readonly lambda: LambdaEndpoint;
  readonly logFile: string;
  /** Milliseconds that it may take to take the cluster down. */
  readonly stopLimit: number;
  /** It cannot be kept running. */
  readonly onGivenUp: (error: LocalError) => void;
}

export interface SeedProcess {
  /** Resolves when the first seed accepts connections; rejects when it ends before. */
  readonly listening: Promise<void>;
  /** Lets it take the cluster down, then ends it. */
  stop(): Promise<void>;
}

const BACK_OFF = { first: 50, most: 2_000 };
/** A seed that ran this long was well: the next end is a new trouble. */
const HEALTHY = 10_000;
const GIVE_UP_AFTER = 8;
const LOOK_AGAIN = 5;

export function startSeedProcess(options: SeedOptions): SeedProcess {
  let running: Launched | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  let failures = 0;
  let everListened = false;

  const start = (first: boolean): Launched => {
    const since = Date.now();
    const current = spawnSeed(options, first);
    running = current;
    void current.exited.then((exit) => {
      running = undefined;
      if (stopping || !everListened) return;
      failures = Date.now() - since > HEALTHY ? 1 : failures + 1;
      if (failures >= GIVE_UP_AFTER) {
        const message = `the seed ended ${failures} times in a row (${describe(exit)})`;
        return options.onGivenUp(new LocalError('seed', message, `See ${options.logFile}`));
      }
      timer = setTimeout(() => start(false), Math.min(BACK_OFF.most, BACK_OFF.first * 2 ** (failures - 1)));
    });
    return current;
  };

  const first = start(true);
  let firstEnded = false;
  const listening = new Promise<void>((resolve, reject) => {
    void first.exited.then((exit) => {
      firstEnded = true;
      reject(new LocalError('seed', `the seed did not start (${describe(exit)})`, `See ${options.logFile}`));
    });
    const look = () => {
      options.network.dialSeed().then(
        (socket) => {
          socket.destroy();
          everListened = true;
          resolve();
        },
        // It has no way to say that it listens but to listen.
        () => {
          if (!firstEnded) setTimeout(look, LOOK_AGAIN);
        },
      );
    };
    look();
  });
  listening.catch(() => undefined); // handled where it is waited for

  return {
    listening,
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

function spawnSeed(options: SeedOptions, first: boolean): Launched {
  const { manifestFile, keyFile, network, lambda, logFile } = options;
  const address = network.seedAddress;
  const args = [
    ...['--manifest', manifestFile, '--key-file', keyFile, '--listen', address, '--address', address],
    // The welcome of members names the port.
    ...['--data-listen', `${address.slice(0, address.lastIndexOf(':'))}:0`],
    ...['--lambda-endpoint', lambda.url, '--region', lambda.region],
    ...(network.info.kind === 'flat' ? ['--flat', String(network.info.number)] : []),
    // Of the first seed of a cluster, nobody is left to rejoin.
    ...(first ? ['--grace', '0'] : []),
  ];
  const { AWS_PROFILE, AWS_DEFAULT_PROFILE, AWS_SESSION_TOKEN, NODE_OPTIONS, ...environment } = process.env;
  const log = openLog(logFile);
  try {
    return launch(
      ['--mode', 'bare', '--unlimited', ...network.seed.options, '--', process.execPath, seedFile(), ...args],
      {
        ...environment,
        AWS_ACCESS_KEY_ID: lambda.accessKeyId,
        AWS_SECRET_ACCESS_KEY: lambda.secretAccessKey,
        AWS_REGION: lambda.region,
      },
      log,
    );
  } finally {
    closeSync(log);
  }
}
