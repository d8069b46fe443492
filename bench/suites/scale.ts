/**
 * The control network at scale: one real seed, and N hosts' control clients in two processes of their own. The baseline
 * is a TLS server with pre-shared keys that echoes and knows nothing, with as many connections from the same processes.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { quantile } from '../lib/distribution';
import { type Server, settled, startServer as start } from '../lib/measured';
import { absoluteRow, IncompleteError, median, type Row, ratioRow, type Suite } from '../lib/rows';
import { type Command, clock, PEERS, type Told, type Usage } from '../programs/scale-clients';

const SIZES = [10, 100, 1_000];
const PROCESSES = 2;
/** Joins that are under way at the same time in each process, where the time of one join is measured. */
const AT_ONCE = 2;
const CHANGES = 100;
const KEY = 'a cluster key for benchmarks only';
const PORT = 9_710;
const BARE_PORT = 9_711;
/** Long enough for every host's back-off to have reached its end. */
const AWAY = 10_000;
const QUIET = 15_000;
const SEED = resolve(__dirname, '../../assets/seed/seed.js');

/** The processes that hold the hosts. */
interface Clients {
  all(command: Command): Promise<unknown[]>;
  one(index: number, command: Command): Promise<unknown>;
  /** Resolves when `count` hosts were told of this port: the last time. */
  told(port: number, count: number): Promise<number>;
  usage(): Promise<Usage>;
  end(): void;
}

function startClients(script: string): Clients {
  const children = Array.from({ length: PROCESSES }, () =>
    fork(script, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  );
  const told = new Map<number, number[]>();
  const onTold = new Map<number, () => void>();
  for (const child of children) {
    child.on('message', (message: Told | object) => {
      if (!('told' in message)) return;
      const times = told.get(message.told) ?? [];
      times.push(message.at);
      told.set(message.told, times);
      onTold.get(message.told)?.();
    });
  }
  const send = (child: ChildProcess, command: Command) =>
    new Promise<unknown>((done, fail) => {
      const onMessage = (message: { result?: unknown; error?: string }) => {
        if ('told' in message) return;
        child.off('message', onMessage);
        if (message.error === undefined) done(message.result);
        else fail(new Error(message.error));
      };
      child.on('message', onMessage);
      child.send(command);
    });
  const all: Clients['all'] = (command) => Promise.all(children.map((child) => send(child, command)));
  return {
    all: (command) =>
      command.do === 'setup'
        ? Promise.all(
            children.map((child, p) =>
              send(child, { ...command, mine: command.mine.filter((i) => i % PROCESSES === p) }),
            ),
          )
        : all(command),
    one: (index, command) => send(children[index % PROCESSES], command),
    told: (port, count) =>
      new Promise((done) => {
        const look = () => {
          const times = told.get(port) ?? [];
          if (times.length >= count) done(Math.max(...times));
        };
        onTold.set(port, look);
        look();
      }),
    usage: async () => {
      const each = (await all({ do: 'usage' })) as Usage[];
      const frames: Record<string, number> = {};
      for (const [type, count] of each.flatMap((usage) => Object.entries(usage.frames))) {
        frames[type] = (frames[type] ?? 0) + count;
      }
      return { cpu: each.reduce((sum, usage) => sum + usage.cpu, 0), frames };
    },
    end: () => {
      for (const child of children) child.kill();
    },
  };
}

/** Bytes of TCP payload that the connections of a local port have carried, both ways. */
function bytesOf(port: number): number {
  const text = execFileSync('ss', ['-tinH', 'state', 'established', `sport = :${port}`], { encoding: 'utf8' });
  const all = [...text.matchAll(/\bbytes_(?:sent|received):(\d+)/g)];
  return all.reduce((sum, [, count]) => sum + Number(count), 0);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const flat = (results: unknown[]) => (results as number[][]).flat();

/** What one size costs. Times in ms, memory in KB. */
interface Figures {
  readonly bare: { readonly times: number[]; readonly cpu: number; readonly memory: number };
  readonly join: {
    readonly times: number[];
    readonly cpu: number;
    readonly clientCpu: number;
    readonly bytes: number;
    readonly messages: number;
  };
  readonly ask: { readonly times: number[]; readonly cpu: number };
  readonly memory: number;
  readonly change: number[];
  readonly changeMessages: number;
  /** Milliseconds of CPU per host and minute. */
  readonly quiet: number;
  /** Load average of the last minute, at the end. */
  readonly load: number;
}

interface Stage {
  readonly folder: string;
  readonly clients: Clients;
  readonly bareServer: string;
  readonly hosts: number;
}

function startSeed(folder: string, ...more: string[]): Promise<Server> {
  const args = [
    ...['--manifest', join(folder, 'manifest.json'), '--key-file', join(folder, 'key')],
    ...['--listen', `127.0.0.1:${PORT}`, '--address', `127.0.0.1:${PORT}`],
    // Nothing is invoked: every host that is asked for has joined.
    ...['--lambda-endpoint', 'http://127.0.0.1:1', '--region', 'us-east-1', ...more],
  ];
  return start(folder, [SEED, ...args], 'seed-started');
}

function writeManifest(folder: string, count: number): void {
  const hosts = Array.from({ length: count }, (_, i) => ({
    name: `host-${i}`,
    address: `100.64.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`,
    functionName: `bench-host-${i}`,
    command: ['/var/task/guest'],
  }));
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ version: 1, cluster: { name: 'bench' }, hosts }));
  writeFileSync(join(folder, 'key'), `${KEY}\n`);
}

async function measureBare({ folder, clients, bareServer, hosts }: Stage): Promise<Figures['bare']> {
  const psk = Buffer.alloc(32, 7).toString('base64');
  const server = await start(folder, [bareServer, psk, String(BARE_PORT)], 'listening');
  const before = { cpu: server.cpu(), memory: server.memory() };
  const times = flat(await clients.all({ do: 'bare', port: BARE_PORT, psk, atOnce: AT_ONCE }));
  const cpu = (server.cpu() - before.cpu) / hosts;
  const memory = (server.memory() - before.memory) / hosts;
  await clients.all({ do: 'bareEnd' });
  await server.end();
  return { times, cpu, memory };
}

const sum = (frames: Usage['frames']) => Object.values(frames).reduce((a, b) => a + b, 0);

async function measure(stage: Stage, seed: Server, progress: (text: string) => void): Promise<Omit<Figures, 'bare'>> {
  const { clients, hosts } = stage;
  const of = (text: string) => progress(`${hosts} hosts: ${text}`);
  await settled(seed);
  const start = { cpu: seed.cpu(), memory: seed.memory(), clients: await clients.usage() };
  of('join');
  const times = flat(await clients.all({ do: 'join', epoch: 1, atOnce: AT_ONCE }));
  const joined = { cpu: seed.cpu(), clients: await clients.usage(), bytes: bytesOf(PORT) };
  of('ask');
  const askTimes = flat(await clients.all({ do: 'ask' }));
  const asked = { cpu: seed.cpu(), clients: await clients.usage() };
  of('change');
  const change: number[] = [];
  const changes = Math.min(CHANGES, hosts);
  // Each change has a port of its own, also among those of other sizes.
  const firstPort = 1_000 + hosts;
  for (let i = 0; i < changes; i++) {
    const host = Math.floor((i * hosts) / changes);
    const port = firstPort + i;
    const began = (await clients.one(host, { do: 'change', host, port })) as number;
    change.push((await clients.told(port, PEERS)) - began);
  }
  const changed = await clients.usage();
  of('quiet');
  const quietFrom = { cpu: seed.cpu(), at: clock() };
  await sleep(QUIET);
  const quiet = (((seed.cpu() - quietFrom.cpu) / (clock() - quietFrom.at)) * 60_000) / hosts;
  return {
    join: {
      times,
      cpu: (joined.cpu - start.cpu) / hosts,
      clientCpu: (joined.clients.cpu - start.clients.cpu) / hosts,
      bytes: joined.bytes / hosts,
      messages: (sum(joined.clients.frames) - sum(start.clients.frames)) / hosts,
    },
    ask: { times: askTimes, cpu: (asked.cpu - joined.cpu) / hosts / PEERS },
    memory: (seed.memory() - start.memory) / hosts,
    change,
    changeMessages: (sum(changed.frames) - sum(asked.clients.frames)) / changes,
    quiet,
    load: loadavg()[0],
  };
}

function rowsOf(hosts: number, f: Figures, smallest: Figures): Row[] {
  const largest = hosts === SIZES.at(-1);
  const row = (what: string) => `${what}, ${hosts} hosts`;
  return [
    ratioRow(row('join: median'), 'ms', median(f.join.times), median(f.bare.times), null),
    ratioRow(row('join: p99'), 'ms', quantile(f.join.times, 0.99), quantile(f.bare.times, 0.99), null),
    ratioRow(row('seed CPU per join'), 'ms', f.join.cpu, f.bare.cpu, null),
    absoluteRow(row("client's CPU per join"), 'ms', f.join.clientCpu, null),
    ratioRow(row('messages per join (baseline: 10 hosts)'), '', f.join.messages, smallest.join.messages, 1),
    absoluteRow(row('KB on the wire per join'), 'KB', f.join.bytes / 1_000, null),
    ratioRow(row('seed memory per host'), 'KB', f.memory, f.bare.memory, null),
    ...(largest ? [absoluteRow(row('seed memory per host'), 'KB', f.memory, 50)] : []),
    absoluteRow(row(`${PEERS} asks: median`), 'ms', median(f.ask.times), null),
    absoluteRow(row('seed CPU per ask'), 'ms', f.ask.cpu, null),
    absoluteRow(row(`change told to ${PEERS} hosts: median`), 'ms', median(f.change), null),
    absoluteRow(row(`change told to ${PEERS} hosts: p99`), 'ms', quantile(f.change, 0.99), null),
    ratioRow(row('messages per change (baseline: 10 hosts)'), '', f.changeMessages, smallest.changeMessages, 1),
    absoluteRow(row('seed CPU per quiet host and minute'), 'ms', f.quiet, null),
    absoluteRow(row('load average of the machine'), '', f.load, null),
  ];
}

interface Rejoined {
  readonly joined: number;
  readonly asked: number;
  readonly failed: number;
}

/** Kills the seed, starts another one after `away` ms. */
async function restart(stage: Stage, seeds: { current: Server | undefined }, away: number) {
  const killed = clock();
  await seeds.current!.end();
  await sleep(away);
  const began = clock();
  seeds.current = await startSeed(stage.folder);
  const next = seeds.current;
  const listening = clock();
  const cpu = next.cpu();
  const each = (await stage.clients.all({ do: 'rejoined', since: killed })) as Rejoined[];
  const last = (pick: (one: Rejoined) => number) => Math.max(...each.map(pick)) - began;
  const failed = each.reduce((sum, one) => sum + one.failed, 0);
  if (failed > 0) throw new Error(`${failed} asks failed`);
  return {
    start: listening - began,
    joined: last((one) => one.joined),
    asked: last((one) => one.asked),
    bytes: bytesOf(PORT) / stage.hosts,
    cpu: (next.cpu() - cpu) / stage.hosts,
  };
}

/** All at once: what happens to a cluster of the largest size. Each part adds its rows. */
async function upheavals(
  stage: Stage,
  rows: Row[],
  seeds: { current: Server | undefined },
  progress: (text: string) => void,
): Promise<void> {
  const { clients, hosts } = stage;
  const add = (metric: string, unit: string, value: number, budget: number | null = null) =>
    rows.push(absoluteRow(metric, unit, value, budget));
  const load = (when: string) => add(`load average of the machine, ${when}`, '', loadavg()[0]);

  progress('restart');
  const quick = await restart(stage, seeds, 0);
  add(`seed killed and started: start to all ${hosts} rejoined`, 's', quick.joined / 1_000, 5);
  add(`the same, and their ${PEERS * hosts} asks answered`, 's', quick.asked / 1_000, 5);
  add('seed CPU per rejoin and 5 locates', 'ms', quick.cpu);
  add('KB on the wire per rejoin and 5 locates', 'KB', quick.bytes / 1_000);
  add('seed start to listening', 's', quick.start / 1_000);
  load('restart');

  progress('restart after a while');
  const late = await restart(stage, seeds, AWAY);
  add(`seed away for ${AWAY / 1_000} s: start to all ${hosts} rejoined`, 's', late.joined / 1_000, 5);
  load('restart after a while');

  progress('storm');
  await clients.all({ do: 'leave' });
  await seeds.current!.end();
  seeds.current = await startSeed(stage.folder, '--grace', '0');
  const seed = seeds.current;
  const before = { cpu: seed.cpu(), clients: await clients.usage() };
  const began = clock();
  const times = flat(await clients.all({ do: 'join', epoch: 2, within: 1_000 }));
  add(`${hosts} joins begun within one second: all joined after`, 's', (clock() - began) / 1_000, 5);
  add('the same: join median', 'ms', median(times));
  add('the same: join p99', 'ms', quantile(times, 0.99));
  add('the same: seed CPU per join', 'ms', (seed.cpu() - before.cpu) / hosts);
  add("the same: client's CPU per join", 'ms', ((await clients.usage()).cpu - before.clients.cpu) / hosts);
  load('storm');
}

export const scale: Suite = {
  name: 'scale',
  title: 'Control network at scale, one seed; baseline: a bare TLS-PSK server with as many connections',
  async run(progress) {
    const folder = mkdtempSync(join(tmpdir(), 'imaginary-bench-'));
    const built = ['scale-clients', 'scale-server'].map((name) => {
      const outfile = join(folder, `${name}.js`);
      const entryPoints = [resolve(__dirname, `../programs/${name}.ts`)];
      buildSync({ entryPoints, outfile, bundle: true, platform: 'node', target: 'node20', logLevel: 'error' });
      return outfile;
    });
    const clients = startClients(built[0]);
    const seeds: { current: Server | undefined } = { current: undefined };
    const rows: Row[] = [];
    try {
      let smallest: Figures | undefined;
      for (const hosts of SIZES) {
        const stage = { folder, clients, bareServer: built[1], hosts };
        const mine = Array.from({ length: hosts }, (_, i) => i);
        await clients.all({ do: 'setup', port: PORT, key: KEY, mine, hosts });
        progress(`${hosts} hosts: baseline`);
        const bare = await measureBare(stage);
        writeManifest(folder, hosts);
        seeds.current = await startSeed(folder, '--grace', '0');
        const figures = { bare, ...(await measure(stage, seeds.current, progress)) };
        smallest ??= figures;
        rows.push(...rowsOf(hosts, figures, smallest));
        if (hosts === SIZES.at(-1)) await upheavals(stage, rows, seeds, progress);
        await clients.all({ do: 'leave' });
        await seeds.current.end();
        seeds.current = undefined;
      }
      return rows;
    } catch (error) {
      throw new IncompleteError(rows, error as Error);
    } finally {
      clients.end();
      seeds.current?.child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
