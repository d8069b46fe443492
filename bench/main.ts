/**
 * `npm run bench -- SUITE [--json]`: measures ours beside the native baseline in the same run. Prints a table and
 * writes it to `bench/results/`; `--json` prints one object `{suite, rows}` on standard output and nothing else.
 */
import { parseArgs } from 'node:util';
import { keep, loadNote } from './lib/results';
import { IncompleteError, type Row, renderTable, type Suite } from './lib/rows';
import { allocate } from './suites/allocate';
import { burst } from './suites/burst';
import { connect } from './suites/connect';
import { footprint } from './suites/footprint';
import { idle } from './suites/idle';
import { kinds } from './suites/kinds';
import { lifecycle } from './suites/lifecycle';
import { lookup } from './suites/lookup';
import { pairs } from './suites/pairs';
import { rate } from './suites/rate';
import { relay } from './suites/relay';
import { renewal } from './suites/renewal';
import { scale } from './suites/scale';
import { shim } from './suites/shim';
import { throughput } from './suites/throughput';

const SUITES: readonly Suite[] = [
  connect,
  throughput,
  pairs,
  kinds,
  relay,
  scale,
  lookup,
  shim,
  allocate,
  burst,
  lifecycle,
  idle,
  renewal,
  rate,
  footprint,
];
const USAGE = `usage: npm run bench -- SUITE... [--json]
       npm run bench -- all

suites:
${SUITES.map((s) => `  ${s.name.padEnd(10)} ${s.title}`).join('\n')}

Each row has the figure, its native baseline of the same run, their ratio and the budget it is held against.
The last tables are kept in bench/results/. Exit code 0: measured (within the budgets or not), 2: usage.
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
  const names = positionals.includes('all') ? SUITES.map((s) => s.name) : positionals;
  const unknown = names.filter((name) => !SUITES.some((s) => s.name === name));
  if (names.length === 0 || unknown.length > 0) {
    process.stderr.write(`${unknown.length ? `unknown suite: ${unknown.join(', ')}\n` : ''}${USAGE}`);
    return 2;
  }
  if (values.json && names.length > 1) {
    process.stderr.write('--json takes one suite: it prints one object\n');
    return 2;
  }
  for (const name of names) {
    const suite = SUITES.find((s) => s.name === name)!;
    const [rows, failure] = await runSuite(suite);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    keep(`${name}.json`, `${JSON.stringify({ suite: name, rows }, null, 2)}\n`);
    keep(
      `${name}.md`,
      `# ${suite.title}\n\n${renderTable(rows)}\n\n${loadNote()}\n${failure ? `\nIncomplete: ${failure.message}\n` : ''}`,
    );
    process.stdout.write(
      values.json ? `${JSON.stringify({ suite: name, rows })}\n` : `${suite.title}\n\n${renderTable(rows)}\n\n`,
    );
    if (failure) throw failure;
  }
  return 0;
}

/** @returns the rows, and why there are not all of them. @throws what left none */
async function runSuite(suite: Suite): Promise<[readonly Row[], IncompleteError?]> {
  try {
    return [await suite.run((text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${suite.name}: ${text}`))];
  } catch (error) {
    if (error instanceof IncompleteError && error.rows.length > 0) return [error.rows, error];
    throw error;
  }
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  },
);
