/**
 * A scenario is a folder: `cluster.json` says which hosts there are, what they run, and the steps that use them; the
 * other files are the functions' code (`/var/task`), and the steps' working directory where they run outside of the
 * hosts.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterEvent } from '../../../src/contract/control/from-seed';
import { prepareCluster, type TestCluster, type TestHost } from '../../support/cluster';

/** Every folder gets it: how a step runs on a host. */
const ERRAND = 'errand.py';

interface Step {
  /** Ends with 0 if the work was done and what came back is right. */
  readonly run: readonly string[];
  /**
   * The host that runs it; it serves errands (`errand.py serve`). Default: a command of this machine, `imaginary exec`.
   */
  readonly on?: string;
  /** `imaginary exec --as`. */
  readonly as?: string;
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly hosts: readonly TestHost[];
  readonly steps: readonly Step[];
  /** How often each host is allocated in all; 1 where nothing else is said. */
  readonly allocations?: Readonly<Record<string, number>>;
  /** Text that is in a host's log in the end. */
  readonly logs?: Readonly<Record<string, string>>;
}

export interface ScenarioOptions {
  /** Passed to `imaginary up --network`; without it the platform chooses. */
  readonly network?: string;
  /** Passed to `imaginary up --nat`: the kind of NAT that hosts and clients are behind. */
  readonly nat?: string;
  /** What a person wants to see while it runs. */
  readonly tell?: (line: string) => void;
}

export const scenarioNames = (): string[] =>
  readdirSync(__dirname).filter((name) => existsSync(join(__dirname, name, 'cluster.json')));

export function readScenario(name: string): Scenario {
  if (!scenarioNames().includes(name))
    throw new Error(`no scenario '${name}'; there are ${scenarioNames().join(', ')}`);
  return { name, ...JSON.parse(readFileSync(join(__dirname, name, 'cluster.json'), 'utf8')) };
}

/**
 * Boots the cluster, runs the steps and takes it down. Fails with the hosts' logs if anything is not as it should be.
 */
export async function runScenario(name: string, { network, nat, tell = () => undefined }: ScenarioOptions = {}) {
  const scenario = readScenario(name);
  const cluster = prepareCluster(scenario.hosts, {
    files: filesOf(name),
    upArguments: [...(network ? ['--network', network] : []), ...(nat ? ['--nat', nat] : [])],
  });
  try {
    const up = await cluster.up();
    if (up.code !== 0) throw new Error(`imaginary up: exit ${up.code}\n${up.stderr}${up.stdout}`);
    tell(up.stderr + up.stdout);
    await imaginedAtFirst(cluster);
    for (const step of scenario.steps) {
      const result = await runStep(cluster, step);
      tell(result.stdout + result.stderr);
      if (result.code !== 0)
        throw new Error(`${step.run.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}`);
    }
    await allocatedAsExpected(cluster, scenario, tell);
    for (const [host, text] of Object.entries(scenario.logs ?? {})) {
      if (!(await cluster.logs(host)).includes(text)) throw new Error(`'${text}' is not in the log of ${host}`);
    }
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}\n${await lastWords(cluster, scenario)}`);
  } finally {
    await cluster.dispose();
  }
}

function filesOf(name: string): Record<string, string> {
  const folder = join(__dirname, name);
  const files = readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]);
  return Object.fromEntries([...files, [ERRAND, readFileSync(join(__dirname, ERRAND), 'utf8')]]);
}

function runStep(cluster: TestCluster, { run, on, as }: Step) {
  const command = on ? ['/usr/bin/python3', ERRAND, 'ask', on, ...run] : run;
  return cluster.exec(command, { as, cwd: cluster.folder });
}

async function imaginedAtFirst(cluster: TestCluster): Promise<void> {
  for (const host of await cluster.ps()) {
    if (host.state !== 'imagined' || host.allocations !== 0)
      throw new Error(`${host.name} is ${host.state}, allocated ${host.allocations} times, before the first step`);
  }
  const early = (await cluster.events()).filter((event) => event.host !== null);
  if (early.length > 0) throw new Error(`before the first step: ${JSON.stringify(early)}`);
}

/**
 * What `ps` counts, and what the events tell: a host that failed and was allocated again does not pass as one that ran.
 */
async function allocatedAsExpected(cluster: TestCluster, scenario: Scenario, tell: (line: string) => void) {
  const hosts = await cluster.ps();
  const events = await cluster.events();
  const count = (host: string, event: ClusterEvent['event']) =>
    events.filter((one) => one.host === host && one.event === event).length;
  for (const { name, state, allocations } of hosts) {
    const expected = scenario.allocations?.[name] ?? 1;
    const told = count(name, 'allocating');
    tell(`${name}: ${state}, allocated ${allocations} times\n`);
    if (allocations !== expected || told !== expected)
      throw new Error(`${name} was allocated ${allocations} times (${told} in the events), not ${expected}`);
    if (count(name, 'failed') > 0) throw new Error(`${name} failed`);
  }
}

async function lastWords(cluster: TestCluster, { hosts }: Scenario): Promise<string> {
  const logs = hosts.map(async ({ name }) => {
    const { stdout } = await cluster.imaginary(['logs', name]);
    return `--- ${name}\n${stdout.split('\n').slice(-40).join('\n')}`;
  });
  return (await Promise.all(logs)).join('\n');
}
