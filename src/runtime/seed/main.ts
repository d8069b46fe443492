import { writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { parseManifest } from '../../contract/manifest';
import type { Log } from '../control/session-options';
import { lambdaInvoker } from './allocator/lambda';
import { FlagError, parseFlags, USAGE } from './flags';
import { loadClusterKeys } from './key';
import { holdLease, TAKEOVER_GRACE } from './lease/hold';
import type { Lease } from './lease/lease';
import { LogWriter } from './log-writer';
import { readSecret } from './secret';
import { startSeed } from './seed';
import { TRACE_ENV, TraceWriter } from './trace';

const lines = new LogWriter(1);
/** Log lines: one JSON object each. What a member says in a detail takes no other field's place. */
const log: Log = (level, message, detail = {}) => {
  const own = { time: new Date().toISOString(), level, message };
  lines.write(`${JSON.stringify({ ...own, ...detail, ...own })}\n`);
};
/** Milliseconds that the last lines may take. */
const LAST_LINES = 1_000;

// What a seed keeps, it keeps for long. Left alone, V8 takes up to 48 MB for what is new, as much as a thousand hosts
// need.
setFlagsFromString('--semi-space-growth-factor=1');

// Its warning about this Node version is for developers, not for an operator's log.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

const RELOAD_EVERY = 300_000;
const EXIT_FENCED = 3;

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2));
  if (flags === 'help') return void process.stdout.write(USAGE);
  const region = flags.region ?? process.env.AWS_REGION ?? (flags.endpoint ? 'us-east-1' : undefined);
  if (!region) throw new FlagError('--region is missing, and AWS_REGION is not set');
  const manifest = await readManifest(flags.manifest);

  let startInvoker: () => void = () => undefined;
  let lease: Lease | undefined;
  const check = flags.lease && (() => lease?.check());
  const invoke = new Promise<void>((resolve) => {
    startInvoker = resolve;
  }).then(() => lambdaInvoker({ region, endpoint: flags.endpoint, check }));
  const keys = () => loadClusterKeys(flags.key, region);
  if (flags.lease) {
    // One that could not serve is to find out before it takes the place of one that can.
    await keys();
    // A standby has the time to load it before.
    const onWait = () => startInvoker();
    lease = await holdLease({ flags: flags.lease, cluster: manifest.cluster.name, region, onWait, onLost: fence, log });
  }
  const listen = flags.listen ?? `0.0.0.0:${manifest.seed.port}`;
  const dataListen = flags.dataListen ?? `0.0.0.0:${manifest.seed.dataPort}`;
  const traceFile = process.env[TRACE_ENV];
  const seed = await startSeed({
    manifest,
    trace: traceFile ? openTrace(traceFile) : undefined,
    keys,
    listen,
    dataListen,
    address: flags.address,
    invoke,
    log,
    grace: lease && lease.number > 1 ? Math.max(flags.grace, TAKEOVER_GRACE) : flags.grace,
    standby: lease && flags.lease && { seed: flags.lease.other, lease },
    flat: flags.flat,
    ingress: flags.ingress,
    secret: (name) => readSecret(flags.tlsSecrets.get(name) ?? name, region),
  }).catch(async (error: NodeJS.ErrnoException) => {
    await lease?.release();
    if (error instanceof FlagError || error.syscall === undefined) throw error;
    const data = (error as { path?: string }).path === dataListen;
    throw new FlagError(`${data ? '--data-listen' : '--listen'} is '${data ? dataListen : listen}': ${error.message}`);
  });
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) return;
    stopping = true;
    const down = signal === 'SIGINT';
    log('info', down ? 'taking the cluster down' : 'ending; hosts go on running', { signal });
    void seed
      .stop({ down })
      .then(() => lease?.release())
      .then(() => lines.flushed(LAST_LINES))
      .then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const reload = () =>
    seed.reload().catch((error: Error) => log('error', `the keys stay as they were: ${error.message}`));
  process.on('SIGHUP', reload);
  // Nobody tells an instance that a secret has changed.
  if ('secret' in flags.key) setInterval(reload, RELOAD_EVERY).unref();

  // Loading the SDK takes longer than all of the above: by now, hosts can rejoin meanwhile.
  startInvoker();
  await invoke;
}

/** Another seed may act from now on: this process does nothing more, not even what it has begun. */
function fence(reason: string): void {
  try {
    const line = { time: new Date().toISOString(), level: 'error', message: `the lease is lost: ${reason}` };
    writeSync(1, `${JSON.stringify(line)}\n`);
  } catch {
    // A log that cannot be written holds up nothing.
  }
  process.exit(EXIT_FENCED);
}

function openTrace(file: string): TraceWriter {
  try {
    return new TraceWriter(file, log);
  } catch (error) {
    throw new FlagError(
      `${TRACE_ENV} is '${file}': ${(error as Error).message}; allowed: a file that can be appended to`,
    );
  }
}

async function readManifest(file: string) {
  try {
    return parseManifest(await readFile(file, 'utf8'));
  } catch (error) {
    throw new FlagError(`--manifest is '${file}': ${(error as Error).message}`);
  }
}

main().catch((error: Error) => {
  const usage = error instanceof FlagError;
  process.stderr.write(`seed: ${usage ? error.message : error.stack}\n`);
  if (usage) process.stderr.write("Try 'seed.js --help'.\n");
  void lines.flushed(LAST_LINES).then(() => process.exit(usage ? 2 : 1));
});
