/**
 * Sums test-reports/*.json (jest's `--json` results, or `{passed, failed, skipped}` of other test programs) and ends with
 * the line `N passed, N failed, N skipped`. Exits 1 when anything failed, or was skipped, or when there is no result.
 *
 *   tsx scripts/test-summary.ts [--exit-code CODE] [--reports FOLDER]     CODE: what the test run itself ended with
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** The parts of jest's result that count. A suite that could not even be loaded is one failure. */
interface JestResult {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numRuntimeErrorTestSuites: number;
}

function countsOf(report: JestResult | Counts): Counts {
  if (!('numPassedTests' in report)) return report;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped: report.numPendingTests + report.numTodoTests,
  };
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
  const counts = countsOf(JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8')));
  console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
}
// A run that broke before or between its tests (lint, types, a build) failed, even if no test did.
if (values['exit-code'] !== '0' && total.failed === 0) {
  console.log(`the test run ended with exit code ${values['exit-code']} outside of any test`);
  total.failed = 1;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
if (total.failed > 0 || total.skipped > 0 || total.passed === 0) process.exitCode = 1;
