/**
 * `npm run soak -- --allocations N`: hosts are called, are idle, are suspended and released, again and again. Memory and
 * descriptors of seed, platform, a supervisor and a client are to stay as they are. See README.md.
 */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readPlatform } from '../../../src/local';
import { prepareCluster, type TestCluster } from '../../support/cluster';
import { python } from '../../support/guests';
import { type Measured, measure } from './collected';
import { flagsOf, networkIn, report, runToExit, whole } from './flags';
import { keep } from './keep';
import { Processes } from './sandboxes';

const GUEST = join(__dirname, 'guest.py');
const NAME = 'soak';
/** The host that is never released: its supervisor is the one that is looked at. */
const STEADY = 'steady';

/** Before the first sample: each part has done by then what it does, and has what it keeps of that. */
const WARM = 0.2;
const SAMPLES = 15;
/** Events that the seed keeps. It has as many before the first sample, or they would count as growth. */
const EVENTS = 10_000;
/**
 * What the median of the last third of the samples may have more than that of the first third: MB, and descriptors.
 * README.md has the reasons.
 */
const GROWTH = { heap: 0.75, memory: 3, descriptors: 2 } as const;
/** Without a host that is released, milliseconds. */
const STANDSTILL = 60_000;
/** The most that a manifest may allow. */
const UNLIMITED = { maxAllocationsPerMinute: 100_000, maxAllocationsPerMinutePerMember: 100_000 };

const USAGE = `usage: npm run soak -- [options]

  --allocations N     how often hosts are allocated and released, in all, from 100 (default: 10000)
  --network flat|nat  network of the cluster (default: flat)
  --hosts N           hosts that are called at the same time, from 1 to 50 (default: 8)
  --keep DIR          copies the logs there
  --json              prints one object on standard output at the end, and the progress on standard error
  --help              this text

After ${100 * WARM} % of the allocations ${SAMPLES} samples are taken: every host is released, and every process collects its garbage.
A part is flat if the median of its last third has at most ${GROWTH.heap} MB of heap, ${GROWTH.memory} MB of memory and ${GROWTH.descriptors} descriptors
more than that of its first third.
Needs \`npx projen bundle\` and /usr/bin/python3.
Exit code 0: all is flat; 1: something is not, or the run broke; 2: the command line is wrong.
`;

const PARTS = ['platform', 'seed', 'supervisor', 'client'] as const;
type Part = (typeof PARTS)[number];
type What = keyof Measured;
interface Sample extends Readonly<Record<Part, Measured>> {
  /** Hosts that were released before. */
  readonly allocations: number;
}

interface SoakOptions {
  readonly allocations: number;
  readonly network: string;
  readonly hosts: number;
  readonly keep?: string;
  readonly tell: (line: string) => void;
}

async function soak(options: SoakOptions): Promise<Sample[]> {
  const names = Array.from({ length: options.hosts }, (_, i) => `host-${i}`);
  const serves = (name: string) => ({ name, command: [python, 'guest.py', 'serve', name], memorySize: 256 });
  const fleeting = { idleTimeout: 100, releaseTimeout: 100, settleTime: 100 };
  const cluster = prepareCluster(
    [...names.map((name) => ({ ...serves(name), ...fleeting })), { ...serves(STEADY), releasePolicy: 'never' }],
    {
      ...{ name: NAME, files: { 'guest.py': readFileSync(GUEST, 'utf8') }, limits: UNLIMITED },
      upArguments: ['--network', options.network],
    },
  );
  // Whoever ends the run does not want its cluster.
  const interrupted = () => void cluster.dispose().finally(() => process.exit(1));
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupted);
  try {
    const up = await cluster.up();
    if (up.code !== 0) throw new Error(`imaginary up: exit ${up.code}\n${up.stderr}${up.stdout}`);
    return await sampled(cluster, names, options);
  } finally {
    if (options.keep !== undefined) keep(options.keep, [join(cluster.state, 'logs')]);
    await cluster.dispose();
  }
}

/** Rounds of calls. A sample is taken between two, when all hosts but the steady one are released. */
async function sampled(cluster: TestCluster, names: readonly string[], options: SoakOptions): Promise<Sample[]> {
  const { allocations, tell } = options;
  const began = Date.now();
  const platform = readPlatform(cluster.state)!.pid;
  const caller = new Caller(cluster, names);
  try {
    await caller.fillEvents();
    tell(`${caller.events} events after ${Date.now() - began} ms`);
    const samples: Sample[] = [];
    const warm = Math.ceil(allocations * WARM);
    for (let i = 0; i < SAMPLES; i++) {
      await caller.callUntil(warm + Math.round(((allocations - warm) * i) / (SAMPLES - 1)));
      const processes = new Processes(platform);
      const steady = processes.sandboxes(NAME).find(({ host }) => host === STEADY);
      if (!steady || !processes.seed) throw new Error(`no process of ${steady ? 'the seed' : STEADY}`);
      const sample = {
        allocations: caller.released,
        platform: await measure(platform),
        seed: await measure(processes.seed),
        supervisor: await measure(steady.supervisor),
        client: await caller.measure(),
      };
      samples.push(sample);
      tell(`${((Date.now() - began) / 1000).toFixed(0).padStart(5)} s  ${oneLine(sample)}`);
    }
    return samples;
  } finally {
    caller.end();
  }
}

/** The client, which calls hosts, and what it hears of them. */
class Caller {
  readonly #cluster: TestCluster;
  readonly #names: readonly string[];
  readonly #client: ChildProcess;
  readonly #follower: ChildProcess;
  /** Of the client's inspector. */
  #port = 0;
  readonly #broken: Promise<never>;
  #break!: (error: Error) => void;
  #onReleased: (name: string) => void = () => undefined;
  #asked = 0;
  released = 0;
  events = 0;

  constructor(cluster: TestCluster, names: readonly string[]) {
    this.#cluster = cluster;
    this.#names = names;
    this.#broken = new Promise((_, fail) => {
      this.#break = fail;
    });
    this.#broken.catch(() => undefined);
    // Signals are the command's. Therefore the inspector is there from the beginning.
    const env = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };
    this.#client = cluster.start([python, join(cluster.folder, 'guest.py'), 'obey', 'client'], { env });
    createInterface({ input: this.#client.stdout! }).on('line', (line) => {
      const { end = 'ok', op, to } = JSON.parse(line);
      if (end !== 'ok') this.#break(new Error(`${op} of ${to}: ${line}`));
    });
    let complaint = '';
    createInterface({ input: this.#client.stderr! }).on('line', (line) => {
      complaint = `${complaint}${line}\n`.slice(-2_000);
      // On network `nat` the second one is the client; the first one has only taken a place for it.
      this.#port = Number(/^Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(line)?.[1] ?? this.#port);
    });
    this.#client.once('close', (code) => this.#break(new Error(`the client ended with ${code}: ${complaint}`)));
    this.#follower = cluster.follow(['events', '--follow', '--json']);
    createInterface({ input: this.#follower.stdout! }).on('line', (line) => {
      const { host, event } = JSON.parse(line);
      this.events += 1;
      if (event === 'failed') this.#break(new Error(`a host has failed: ${line}`));
      if (event === 'released') this.#onReleased(host);
    });
  }

  /** The steady host answers, and the seed has as many events as it keeps. */
  async fillEvents(): Promise<void> {
    const guest = (...args: string[]) => [python, join(this.#cluster.folder, 'guest.py'), ...args];
    for (const command of [guest('each', 'first', '1', STEADY), guest('knock', 'second', STEADY, `${EVENTS}`)]) {
      const { code, stderr } = await this.#cluster.exec(command, { timeout: 300_000 });
      if (code !== 0) throw new Error(`${command.slice(2).join(' ')}: exit ${code}\n${stderr}`);
    }
  }

  /** Calls each host, and again once it is released, until so many have been released and no host runs. */
  async callUntil(allocations: number): Promise<void> {
    let standstill: NodeJS.Timeout | undefined;
    const done = new Promise<void>((resolve, fail) => {
      standstill = setTimeout(() => fail(new Error(`no host was released for ${STANDSTILL} ms`)), STANDSTILL);
      this.#onReleased = (name) => {
        standstill!.refresh();
        this.released += 1;
        if (this.#asked < allocations) this.#call(name);
        if (this.released === allocations) resolve();
      };
    });
    for (const name of this.#names) if (this.#asked < allocations) this.#call(name);
    try {
      if (this.released < allocations) await Promise.race([done, this.#broken]);
    } finally {
      clearTimeout(standstill);
    }
  }

  measure(): Promise<Measured> {
    return measure(new Processes(this.#client.pid!).inside ?? this.#client.pid!, this.#port);
  }

  end(): void {
    this.#client.kill('SIGKILL');
    this.#follower.kill();
  }

  /** Every second host is called by the steady one, which the client calls for that. */
  #call(name: string): void {
    this.#asked += 1;
    this.#client.stdin!.write(this.#asked % 2 === 0 ? `${name}\n` : `${STEADY} ${name}\n`);
  }
}

const written = (what: What, value: number) => (what === 'descriptors' ? `${value}` : `${value.toFixed(2)} MB`);

function oneLine(sample: Sample): string {
  const parts = PARTS.map((part) => {
    const { heap, memory, descriptors } = sample[part];
    return `${part} ${heap.toFixed(2)} of ${memory.toFixed(1)} MB, ${descriptors} open`;
  });
  return `${sample.allocations} released  ${parts.join('; ')}`;
}

interface Row {
  readonly part: Part;
  readonly what: What;
  /** Medians of the first and of the last third of the samples. */
  readonly first: number;
  readonly last: number;
  readonly flat: boolean;
}

function rowsOf(samples: readonly Sample[]): Row[] {
  const third = Math.ceil(samples.length / 3);
  return PARTS.flatMap((part) =>
    (Object.keys(GROWTH) as What[]).map((what) => {
      const values = samples.map((sample) => sample[part][what]);
      const [first, last] = [median(values.slice(0, third)), median(values.slice(-third))];
      return { part, what, first, last, flat: last - first <= GROWTH[what] };
    }),
  );
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function tableOf(rows: readonly Row[]): string {
  return rows
    .map(
      ({ part, what, first, last, flat }) =>
        `  ${flat ? 'flat ' : 'GROWS'}  ${part.padEnd(12)}${what.padEnd(14)}${written(what, first).padStart(10)}, at last ${written(what, last)}\n`,
    )
    .join('');
}

const read = () =>
  flagsOf({
    allocations: { type: 'string', default: '10000' },
    hosts: { type: 'string', default: '8' },
    keep: { type: 'string' },
  });

async function main(): Promise<number> {
  const given = read();
  if (given.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const network = networkIn(given.network);
  const allocations = whole('allocations', given.allocations, 100, 10_000_000);
  const hosts = whole('hosts', given.hosts, 1, 50);
  const out = given.json ? process.stderr : process.stdout;
  const samples = await soak({ allocations, network, hosts, keep: given.keep, tell: (line) => out.write(`${line}\n`) });
  const rows = rowsOf(samples);
  out.write(tableOf(rows));
  const failures = rows
    .filter(({ flat }) => !flat)
    .map(({ part, what, first, last }) => ({
      name: `soak on ${network}, ${allocations} allocations: ${what} of ${part} is flat`,
      reason: `${written(what, first)}, at last ${written(what, last)}; allowed: ${written(what, GROWTH[what])} more`,
    }));
  const counts = report('soak.json', rows.length, failures, out);
  if (given.json)
    process.stdout.write(`${JSON.stringify({ allocations, network, hosts, ...counts, rows, samples })}\n`);
  return failures.length === 0 ? 0 : 1;
}

runToExit('soak', main);
