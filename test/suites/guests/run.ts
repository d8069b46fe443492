/** Real guests on a cluster, by hand; test/e2e/guests.long.ts runs the same. */
import { parseArgs } from 'node:util';
import { readScenario, runScenario, scenarioNames } from './scenario';

const USAGE = `usage: npx tsx test/suites/guests/run.ts [--network NETWORK] [--nat KIND] SCENARIO... | all

  --network   passed to \`imaginary up\` (default: what the platform chooses)
  --nat       passed to it, too: the kind of NAT that all of them are behind

Needs \`npx projen bundle\` and the programs of \`scripts/guests.sh\`. Scenarios:

${scenarioNames()
  .map((name) => `  ${name.padEnd(11)} ${readScenario(name).about}`)
  .join('\n')}
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { network: { type: 'string' }, nat: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  if (values.help || positionals.length === 0) {
    process.stdout.write(USAGE);
    return;
  }
  const names = positionals.includes('all') ? scenarioNames() : positionals;
  for (const name of names) readScenario(name);
  for (const name of names) {
    const startedAt = performance.now();
    process.stdout.write(`== ${name}\n`);
    await runScenario(name, { network: values.network, nat: values.nat, tell: (text) => process.stdout.write(text) });
    process.stdout.write(`== ${name}: passed (${((performance.now() - startedAt) / 1000).toFixed(1)} s)\n`);
  }
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
