/**
 * Sums test-reports/*.json (jest's `--json` results, or `{passed, failed, skipped, failures?}` of other test programs)
 * and ends with the line `N passed, N failed, N skipped`, above it what failed and why. Exits 1 when anything failed,
 * or was skipped, or when there is no result.
 *
 *   tsx scripts/test-summary.ts [--exit-code CODE] [--reports FOLDER]     CODE: what the test run itself ended with
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs, stripVTControlCharacters } from 'node:util';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** What other test programs write. */
interface OtherResult extends Counts {
  failures?: Failure[];
}

/** One test that failed. */
interface Failure {
  name: string;
  reason: string;
}

/** The parts of jest's result that count. A suite that could not even be loaded is one failure. */
interface JestResult {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numRuntimeErrorTestSuites: number;
  testResults: Array<{
    name: string;
    status: string;
    message?: string;
    assertionResults: Array<{ fullName: string; status: string; failureMessages?: string[] }>;
  }>;
}

/** Of each reason, for a log of which often only the end is kept: a stack begins with what matters, a program's output ends with it. */
const FIRST_LINES = 20;
const LAST_LINES = 20;
const LINE_CHARACTERS = 240;

function countsOf(report: JestResult | OtherResult): Counts {
  if (!('numPassedTests' in report)) return report;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** What failed, as a reader of the end of a long log wants to see it: file, name and reason. */
function failuresOf(report: JestResult | OtherResult): Failure[] {
  if (!('numPassedTests' in report)) return report.failures ?? [];
  return report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = path.relative(path.resolve(__dirname, '..'), name);
    const failed = assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => ({ name: `${file}: ${test.fullName}`, reason: (test.failureMessages ?? []).join('\n') }));
    return status === 'failed' && failed.length === 0 ? [{ name: file, reason: message ?? '' }] : failed;
  });
}

function print({ name, reason }: Failure): void {
  console.log(`  failed: ${name}`);
  const lines = stripVTControlCharacters(reason).trimEnd().split('\n').filter(Boolean);
  const left = lines.length - FIRST_LINES - LAST_LINES;
  const shown =
    left > 0 ? [...lines.slice(0, FIRST_LINES), `(${left} lines more)`, ...lines.slice(-LAST_LINES)] : lines;
  for (const line of shown) console.log(`    ${line.slice(0, LINE_CHARACTERS)}`);
}

const { values } = parseArgs({
  options: {
    'exit-code': { type: 'string', default: '0' },
    reports: { type: 'string', default: path.resolve(__dirname, '..', 'test-reports') },
  },
});
const folder = values.reports;
const reports = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
for (const name of reports.sort()) {
  const report = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
  const counts = countsOf(report);
  console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  for (const failure of failuresOf(report)) print(failure);
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
}
// A run that broke before or between its tests (lint, types, a build) failed, even if no test did.
if (values['exit-code'] !== '0' && total.failed === 0) {
  console.log(`the test run ended with exit code ${values['exit-code']} outside of any test`);
  total.failed = 1;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
if (total.failed > 0 || total.skipped > 0 || total.passed === 0) process.exitCode = 1;
