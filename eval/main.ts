/**
 * `npm run eval -- NAME [--json]`: does what the papers did, on the local platform, and holds the figure to its reach.
 * Exit code 0 only within reach.
 */
import { parseArgs } from 'node:util';
import { keep, loadNote } from '../bench/lib/results';
import { burst } from './figures/burst';
import { chain } from './figures/chain';
import { forward } from './figures/forward';
import { ingress } from './figures/ingress';
import { microservices } from './figures/microservices';
import { services } from './figures/services';
import { udp } from './figures/udp';
import { zookeeper } from './figures/zookeeper';
import { type Evaluation, isWithin, lastLine, table } from './lib/figures';

const EVALUATIONS: readonly Evaluation[] = [burst, chain, forward, ingress, microservices, services, udp, zookeeper];

const USAGE = `usage: npm run eval -- NAME [--json]

${EVALUATIONS.map((e) => `  ${e.name.padEnd(14)} ${e.title}`).join('\n')}

Each figure is a ratio to a reference that was measured in the same run, and is held to a reach. The last line has the
figures that are held. With --json, standard output is one object {name, within, figures} and nothing else. The last
tables are kept in bench/results/eval-NAME.md.
Exit code 0: within reach. Any other: not within reach, or it could not be measured.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const evaluation = EVALUATIONS.find((e) => e.name === positionals[0]);
  if (!evaluation || positionals.length > 1) {
    const wrong = positionals.length === 1 ? `there is no evaluation '${positionals[0]}'` : 'name one evaluation';
    process.stderr.write(`${wrong}\n\n${USAGE}`);
    return 2;
  }
  const figures = await evaluation.run(
    (text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${evaluation.name}: ${text}`),
  );
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  const within = figures.every(isWithin);
  keep(`eval-${evaluation.name}.json`, `${JSON.stringify({ name: evaluation.name, within, figures }, null, 2)}\n`);
  keep(`eval-${evaluation.name}.md`, `# ${evaluation.title}\n\n${table(figures)}\n\n${loadNote()}\n`);
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ name: evaluation.name, within, figures })}\n`
      : `${evaluation.title}\n\n${table(figures)}\n\n${lastLine(evaluation.name, figures)}\n`,
  );
  return within ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  },
);
