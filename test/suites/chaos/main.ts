/**
 * `npm run chaos -- --minutes M --seed S --network flat|nat`: hosts that call one another while everything that may end
 * or be lost does. See README.md.
 */
import { flagsOf, networkIn, report, runToExit, UsageError, whole } from './flags';
import { KINDS, type Kind, kindsOn, type Network, planOf } from './plan';
import { type RunResult, runChaos } from './run';

const USAGE = `usage: npm run chaos -- [options]

  --network flat|nat  network of the cluster (default: flat)
  --minutes M         how long hosts are called and disturbed (default: 1)
  --seed N            what the plan of faults and the calls follow from (default: the time)
  --faults A,B,...    only these kinds of fault; none: none at all (default: all that the network has)
  --hosts N           from 3 to 100 (default: 20)
  --clients N         clients under \`imaginary exec\`, from 1 to 20 (default: 3)
  --plan              prints the plan, and runs nothing
  --keep DIR          copies the logs and the seed's trace there
  --json              prints one object on standard output at the end, and the progress on standard error
  --help              this text

Kinds of fault:

${(Object.keys(KINDS) as Kind[])
  .map((kind) => `  ${kind.padEnd(18)}${KINDS[kind].about}${KINDS[kind].on.length === 1 ? ' (nat only)' : ''}`)
  .join('\n')}

The same seed, network, minutes and kinds give the same plan; which host a fault hits depends on which are there by then.
Needs \`npx projen bundle\`, /usr/bin/python3 and /usr/bin/redis-server, and for network nat what \`imaginary up\` needs for it.
Exit code 0: every property holds; 1: one does not, or the run broke; 2: the command line is wrong.
`;

const read = () =>
  flagsOf({
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    faults: { type: 'string' },
    hosts: { type: 'string', default: '20' },
    clients: { type: 'string', default: '3' },
    plan: { type: 'boolean', default: false },
    keep: { type: 'string' },
  });

function kindsOf(network: Network, given: string | undefined): Kind[] {
  const known = kindsOn(network);
  if (given === undefined) return known;
  if (given === 'none') return [];
  return given.split(',').map((word) => {
    const kind = known.find((one) => one === word);
    if (kind) return kind;
    throw new UsageError(`--faults has '${word}'; network ${network} has ${known.join(', ')}, none`);
  });
}

async function main(): Promise<number> {
  const given = read();
  if (given.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const network = networkIn(given.network);
  const minutes = Number(given.minutes);
  if (!(minutes > 0 && minutes <= 1_440))
    throw new UsageError(`--minutes is '${given.minutes}'; allowed: a number above 0, up to 1440`);
  const seed = whole('seed', given.seed, 0, 2 ** 32 - 1);
  const hosts = whole('hosts', given.hosts, 3, 100);
  const clients = whole('clients', given.clients, 1, 20);
  const kinds = kindsOf(network, given.faults);
  const duration = minutes * 60_000;
  const plan = planOf(seed, duration, kinds);
  if (given.plan) {
    process.stdout.write(
      given.json
        ? `${JSON.stringify(plan)}\n`
        : plan.map(({ at, kind, pick, lasts }) => `${at} ms  ${kind}  pick ${pick}  lasts ${lasts} ms\n`).join(''),
    );
    return 0;
  }
  const out = given.json ? process.stderr : process.stdout;
  out.write(`chaos on ${network}: seed ${seed}, ${minutes} minutes, ${hosts} hosts, ${plan.length} faults planned\n`);
  const result = await runChaos({
    ...{ network, seed, duration, hosts, clients, plan, keep: given.keep },
    tell: (line) => out.write(`${line}\n`),
  });
  const failures = result.verdicts
    .filter(({ violations }) => violations.length > 0)
    .map(({ property, violations }) => ({
      name: `chaos on ${network}, seed ${seed}: ${property}`,
      reason: violations.join('\n'),
    }));
  out.write(tableOf(result));
  const counts = report(`chaos-${network}.json`, result.verdicts.length, failures, out);
  if (given.json) process.stdout.write(`${JSON.stringify({ network, seed, minutes, hosts, ...counts, ...result })}\n`);
  return failures.length === 0 ? 0 : 1;
}

/** Of violations, as many as a person reads. */
const MOST_SHOWN = 20;

function tableOf({ verdicts, calls, faults, missed }: RunResult): string {
  const rows = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([name, count]) => `  ${name.padEnd(28)}${String(count).padStart(7)}\n`);
  const lines = verdicts.flatMap(({ property, of, violations }) => [
    `  ${violations.length === 0 ? 'holds   ' : 'VIOLATED'}  ${property} (${of})\n`,
    ...violations.slice(0, MOST_SHOWN).map((violation) => `              ${violation}\n`),
    ...(violations.length > MOST_SHOWN ? [`              and ${violations.length - MOST_SHOWN} more\n`] : []),
  ]);
  return [
    'calls\n',
    ...rows(calls),
    `faults (${missed} found nobody to hit)\n`,
    ...rows(faults),
    'properties\n',
    ...lines,
  ].join('');
}

runToExit('chaos', main);
