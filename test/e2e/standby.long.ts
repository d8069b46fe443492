/**
 * Two seeds: the one that serves is killed, or stands still and goes on much later. Hosts with open connections notice
 * nothing, a connect that waits goes through, and each host is invoked once.
 */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { hasNetworkNamespaces } from '../support/namespaces';
import { beginning, mentioning } from '../support/processes';

const SEED = resolve(__dirname, '../../assets/seed/seed.js');
const python = '/usr/bin/python3';
const guest = (file: string) => readFileSync(join(__dirname, 'guests', file), 'utf8');
const echo = (name: string, ...more: string[]) => ({ name, command: [python, 'echo.py', '7000', ...more] });
/** Milliseconds. A lease and the grace after it are 8 s. */
const TAKEOVER_LIMIT = 30_000;

/** What becomes of the seed that serves. */
const FAULTS = ['SIGKILL', 'SIGSTOP'] as const;
/** What a host is doing at that time. */
const MOMENTS = ['imagined', 'invoked', 'guest-started'] as const;
const hostOf = (fault: string, moment: string) => `${fault}-${moment}`.toLowerCase();

describe.each(hasNetworkNamespaces ? ['flat', 'nat'] : ['flat'])('network %s', (network) => {
  let cluster: TestCluster;
  let asker: Asker;

  beforeAll(async () => {
    const slow = FAULTS.flatMap((fault) => MOMENTS.map((moment) => echo(hostOf(fault, moment), '2')));
    cluster = await bootCluster([echo('echo'), ...slow], {
      ...{ name: `standby-${network}`, standby: true, upArguments: ['--network', network] },
      files: { 'echo.py': guest('echo.py') },
    });
    asker = askerIn(cluster);
    await asker.line('open');
  });
  afterAll(async () => {
    asker?.child.kill();
    await cluster?.dispose();
  });

  test.each(FAULTS.flatMap((fault) => MOMENTS.map((moment) => [fault, moment] as const)))(
    '%s of the seed that serves, while a host is %s',
    async (fault, moment) => {
      const host = hostOf(fault, moment);
      const before = await started(cluster);
      const pid = seedAt(cluster, before.address);
      // The other one waits for its turn.
      await eventually(() => seedsOf(cluster).length === 2, TAKEOVER_LIMIT);

      if (moment !== 'imagined') {
        asker.ask(host);
        await cluster.waitFor((e) => e.host === host && e.event === moment);
      }
      const count = await asker.count();
      process.kill(pid, fault);
      if (moment === 'imagined') asker.ask(host);
      const [outcome, seconds] = await asker.line(host, TAKEOVER_LIMIT);
      expect(outcome).toBe('ok');
      expect(Number(seconds)).toBeLessThan(TAKEOVER_LIMIT / 1_000);

      const after = await started(cluster);
      expect(after.lease).toBeGreaterThan(before.lease);
      if (fault === 'SIGSTOP') {
        expect(after.address).not.toBe(before.address);
        // It finds itself without a lease, and does nothing more.
        process.kill(pid, 'SIGCONT');
        await eventually(() => !seedsOf(cluster).includes(pid), TAKEOVER_LIMIT);
        const { stdout } = await cluster.imaginary(['logs', 'seed']);
        expect(stdout).toMatch(/the lease is lost: it was not renewed in time/);
      }
      // Of what the old one has done, nothing comes late.
      await eventually(() => seedsOf(cluster).length === 2, TAKEOVER_LIMIT);
      expect(await asker.count()).toBeGreaterThan(count);
      expect(asker.broken()).toEqual([]);
      expect(invocations(cluster, host)).toBe(1);
      expect(invocations(cluster, 'echo')).toBe(1);
      expect((await cluster.host(host)).state).toBe('running');
    },
    120_000,
  );
});

/** How the seed that serves has begun. */
async function started(cluster: TestCluster): Promise<{ readonly address: string; readonly lease: number }> {
  const { detail } = (await cluster.events()).find(({ event }) => event === 'seed-started')!;
  return { address: String(detail.address), lease: Number(detail.lease) };
}

/** The seeds' processes. */
function seedsOf({ state }: TestCluster): number[] {
  return beginning(`${process.execPath} ${SEED} --manifest ${state}/manifest.json `);
}

function seedAt(cluster: TestCluster, address: string): number {
  const there = mentioning(`--address ${address} `);
  const pid = seedsOf(cluster).find((one) => there.includes(one));
  if (pid === undefined) throw new Error(`no seed runs at ${address}`);
  return pid;
}

/** As the platform has counted them. */
function invocations(cluster: TestCluster, host: string): number {
  return readFileSync(join(cluster.state, 'logs', `${host}.log`), 'utf8').match(/START RequestId/g)?.length ?? 0;
}

interface Asker {
  readonly child: ChildProcess;
  ask(host: string): void;
  /** Lines of `echo` that have come back. */
  count(): Promise<number>;
  /** The words after this first one, of the first such line that was not taken yet. */
  line(first: string, limit?: number): Promise<string[]>;
  broken(): string[];
}

/** The guest `asker.py`, as a client. */
function askerIn(cluster: TestCluster): Asker {
  const child = cluster.start([python, join(__dirname, 'guests', 'asker.py')]);
  const lines: string[] = [];
  const watchers = new Set<() => void>();
  createInterface({ input: child.stdout! }).on('line', (text) => {
    lines.push(text);
    for (const watcher of watchers) watcher();
  });
  let stderr = '';
  child.stderr!.on('data', (text) => (stderr += text));
  const line = (first: string, limit = 30_000) =>
    new Promise<string[]>((found, fail) => {
      const give = (settle: () => void) => {
        clearTimeout(timer);
        watchers.delete(look);
        settle();
      };
      const look = () => {
        const at = lines.findIndex((text) => text.split(' ')[0] === first);
        if (at >= 0) give(() => found(lines.splice(at, 1)[0].split(' ').slice(1)));
      };
      const late = () => fail(new Error(`no line '${first}' within ${limit} ms: ${lines.join('; ')}; ${stderr}`));
      const timer = setTimeout(() => give(late), limit);
      watchers.add(look);
      look();
    });
  return {
    child,
    line,
    ask: (host) => void child.stdin!.write(`${host}\n`),
    count: async () => {
      child.stdin!.write('?\n');
      return Number((await line('count'))[0]);
    },
    broken: () => lines.filter((text) => text.startsWith('broken')),
  };
}
