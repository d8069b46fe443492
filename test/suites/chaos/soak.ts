/**
 * `npm run soak -- --allocations N`: hosts are called, are idle, are suspended and released, again and again. Memory and
 * descriptors of seed, platform, supervisors and a client are to stay as they are. See README.md.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { readPlatform } from '../../../src/local';
import { prepareCluster, type TestCluster } from '../../support/cluster';
import { python } from '../../support/guests';
import { flagsOf, UsageError, whole } from './flags';
import { openDescriptors, Processes, privateMemory } from './sandboxes';

const REPORTS = resolve(__dirname, '../../../test-reports');
const GUEST = join(__dirname, 'guest.py');
const NAME = 'soak';
const MB = 1024 * 1024;

/** From then on memory is to be flat: by then the seed has as many events as it keeps. */
const WARM = { allocations: 2_000, share: 0.4 };
const SAMPLES = 60;
/**
 * What the least of the last third of the samples may have more than that of the first third: MB, and descriptors. The
 * least, because V8 collects what has grown old once in a thousand allocations or more: between, memory only grows.
 */
const GROWTH = { memory: 8, descriptors: 4 };
/** Without a host that is released, milliseconds. */
const STANDSTILL = 60_000;

const USAGE = `usage: npm run soak -- [options]

  --allocations N     how often hosts are allocated and released, in all, from 100 (default: 10000)
  --network flat|nat  network of the cluster (default: flat)
  --hosts N           hosts that are called at the same time, from 1 to 50 (default: 8)
  --json              prints one object on standard output at the end, and the progress on standard error
  --help              this text

Samples are taken ${SAMPLES} times once it is warm (${WARM.allocations} allocations, or ${100 * WARM.share} % of them). A part is flat if the least of its last
third has at most ${GROWTH.memory} MB, and ${GROWTH.descriptors} descriptors, more than that of its first third.
Needs \`npx projen bundle\` and /usr/bin/python3.
Exit code 0: all is flat; 1: something is not, or the run broke; 2: the command line is wrong.
`;

/** Parts of a cluster, by name: what each has. `supervisors` is the largest of them. */
type Sample = Readonly<Record<'platform' | 'seed' | 'supervisors' | 'client', Measured>>;
interface Measured {
  /** MB that no other process has. */
  readonly memory: number;
  readonly descriptors: number;
}

function measure(...pids: readonly number[]): Measured {
  return {
    memory: Math.max(...pids.map((pid) => privateMemory(pid) / MB)),
    descriptors: Math.max(...pids.map(openDescriptors)),
  };
}

function sampleOf(platform: number, client: ChildProcess): Sample {
  const processes = new Processes(platform);
  const supervisors = processes.sandboxes(NAME).map(({ supervisor }) => supervisor);
  return {
    platform: measure(platform),
    seed: measure(processes.seed ?? 0),
    supervisors: measure(...supervisors, 0),
    client: measure(client.pid!),
  };
}

interface Progress {
  readonly allocations: number;
  readonly samples: readonly Sample[];
}

interface SoakOptions {
  readonly allocations: number;
  readonly network: string;
  readonly hosts: number;
  readonly tell: (line: string) => void;
}

async function soak(options: SoakOptions): Promise<Progress> {
  const names = Array.from({ length: options.hosts }, (_, i) => `host-${i}`);
  const cluster = prepareCluster(
    names.map((name) => ({
      ...{ name, command: [python, 'guest.py', 'serve', name], memorySize: 256 },
      ...{ idleTimeout: 100, releaseTimeout: 100, settleTime: 100 },
    })),
    { name: NAME, files: { 'guest.py': readFileSync(GUEST, 'utf8') }, upArguments: ['--network', options.network] },
  );
  // Whoever ends the run does not want its cluster.
  const interrupted = () => void cluster.dispose().finally(() => process.exit(1));
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupted);
  try {
    const up = await cluster.up();
    if (up.code !== 0) throw new Error(`imaginary up: exit ${up.code}\n${up.stderr}${up.stdout}`);
    return await cycles(cluster, names, options);
  } finally {
    await cluster.dispose();
  }
}

/** Each host is called, and called again once it is released. */
function cycles(cluster: TestCluster, names: readonly string[], options: SoakOptions): Promise<Progress> {
  const { allocations, tell } = options;
  const platform = readPlatform(cluster.state)!.pid;
  const client = cluster.start([python, join(cluster.folder, 'guest.py'), 'obey', 'client']);
  const events = cluster.follow(['events', '--follow', '--json']);
  const samples: Sample[] = [];
  const warm = Math.min(WARM.allocations, Math.ceil(allocations * WARM.share));
  const every = Math.max(1, Math.floor((allocations - warm) / SAMPLES));
  const began = Date.now();
  let [asked, released] = [0, 0];
  const call = (name: string) => {
    if (asked >= allocations) return;
    asked += 1;
    client.stdin!.write(`${name}\n`);
  };
  return new Promise<Progress>((resolve, fail) => {
    const standstill = setTimeout(() => fail(new Error(`no host was released for ${STANDSTILL} ms`)), STANDSTILL);
    const onReleased = (name: string) => {
      standstill.refresh();
      released += 1;
      if (released >= warm && (released - warm) % every === 0) {
        samples.push(sampleOf(platform, client));
        tell(
          `${((Date.now() - began) / 1000).toFixed(0).padStart(5)} s  ${released} released  ${oneLine(samples.at(-1)!)}`,
        );
      }
      if (released >= allocations) {
        clearTimeout(standstill);
        resolve({ allocations: released, samples });
      } else call(name);
    };
    createInterface({ input: events.stdout! }).on('line', (line) => {
      const { host, event } = JSON.parse(line);
      if (event === 'released') onReleased(host);
      if (event === 'failed') fail(new Error(`a host has failed: ${line}`));
    });
    createInterface({ input: client.stdout! }).on('line', (line) => {
      const { end = 'ok', op, to } = JSON.parse(line);
      if (end !== 'ok') fail(new Error(`${op} of ${to}: ${line}`));
    });
    let complaint = '';
    client.stderr!.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    client.once('close', (code) => fail(new Error(`the client ended with ${code}: ${complaint}`)));
    for (const name of names) call(name);
  });
}

function oneLine(sample: Sample): string {
  return Object.entries(sample)
    .map(([part, { memory, descriptors }]) => `${part} ${memory.toFixed(1)} MB, ${descriptors} open`)
    .join('; ');
}

interface Row {
  readonly part: string;
  readonly what: 'memory' | 'descriptors';
  readonly first: number;
  readonly last: number;
  readonly flat: boolean;
}

function rowsOf(samples: readonly Sample[]): Row[] {
  const third = Math.ceil(samples.length / 3);
  return (Object.keys(samples[0]) as Array<keyof Sample>).flatMap((part) =>
    (['memory', 'descriptors'] as const).map((what) => {
      const values = samples.map((sample) => sample[part][what]);
      const [first, last] = [Math.min(...values.slice(0, third)), Math.min(...values.slice(-third))];
      return { part, what, first, last, flat: last - first <= GROWTH[what] };
    }),
  );
}

const read = (args: readonly string[]) =>
  flagsOf(
    () =>
      parseArgs({
        args: [...args],
        options: {
          allocations: { type: 'string', default: '10000' },
          network: { type: 'string', default: 'flat' },
          hosts: { type: 'string', default: '8' },
          json: { type: 'boolean', default: false },
          help: { type: 'boolean', default: false },
        },
      }).values,
  );

async function main(): Promise<number> {
  const given = read(process.argv.slice(2));
  if (given.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { network } = given;
  if (network !== 'flat' && network !== 'nat') throw new UsageError(`--network is '${network}'; allowed: flat, nat`);
  const allocations = whole('allocations', given.allocations, 100, 10_000_000);
  const hosts = whole('hosts', given.hosts, 1, 50);
  const out = given.json ? process.stderr : process.stdout;
  const { samples } = await soak({ allocations, network, hosts, tell: (line) => out.write(`${line}\n`) });
  const rows = rowsOf(samples);
  const failed = rows.filter(({ flat }) => !flat);
  for (const { part, what, first, last, flat } of rows) {
    const [was, is] = what === 'memory' ? [`${first.toFixed(1)} MB`, `${last.toFixed(1)} MB`] : [first, last];
    out.write(`  ${flat ? 'flat' : 'GROWS'}  ${part}: ${what} ${was}, at last ${is}\n`);
  }
  const counts = { passed: rows.length - failed.length, failed: failed.length, skipped: 0 };
  out.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  if (given.json)
    process.stdout.write(`${JSON.stringify({ allocations, network, hosts, ...counts, rows, samples })}\n`);
  const failures = failed.map(({ part, what, first, last }) => ({
    name: `soak on ${network}, ${allocations} allocations: ${what} of ${part} is flat`,
    reason: `${first.toFixed(1)}, at last ${last.toFixed(1)}; allowed: ${GROWTH[what]} more`,
  }));
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(join(REPORTS, 'soak.json'), `${JSON.stringify({ ...counts, failures }, null, 2)}\n`);
  return failed.length === 0 ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    process.stderr.write(`soak: ${error.message}\n${error instanceof UsageError ? 'See --help.\n' : ''}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  },
);
