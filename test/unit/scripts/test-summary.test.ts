import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const SCRIPT = path.resolve(__dirname, '../../../scripts/test-summary.ts');

/** A suite as jest reports it. */
const jestReport = (passed: number, failed = 0, pending = 0, brokenSuites = 0) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: pending,
  numTodoTests: 0,
  numRuntimeErrorTestSuites: brokenSuites,
});

/** The summary's last line and exit code. */
function summary(reports: object[], exitCode = '0') {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'reports-'));
  for (const [i, report] of reports.entries()) fs.writeFileSync(path.join(folder, `${i}.json`), JSON.stringify(report));
  const args = ['--import', 'tsx', SCRIPT, '--exit-code', exitCode, '--reports', folder];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  fs.rmSync(folder, { recursive: true });
  return [stdout.trimEnd().split('\n').at(-1), status];
}

test('sums jest and other results', () => {
  const reports = [jestReport(3), jestReport(4), { passed: 5, failed: 0, skipped: 0 }];
  expect(summary(reports)).toEqual(['12 passed, 0 failed, 0 skipped', 0]);
});

test.each<[string, object[], string, string]>([
  ['a failed test', [jestReport(3, 1)], '0', '3 passed, 1 failed, 0 skipped'],
  ['a suite that could not be loaded', [jestReport(3, 0, 0, 1)], '0', '3 passed, 1 failed, 0 skipped'],
  ['a skipped test', [jestReport(3, 0, 2)], '0', '3 passed, 0 failed, 2 skipped'],
  ['a skipped test of another program', [{ passed: 1, failed: 0, skipped: 1 }], '0', '1 passed, 0 failed, 1 skipped'],
  ['a run that broke outside of its tests', [jestReport(3)], '2', '3 passed, 1 failed, 0 skipped'],
  ['no result at all', [], '0', '0 passed, 0 failed, 0 skipped'],
])('%s is not a success', (_, reports, exitCode, line) => {
  expect(summary(reports, exitCode)).toEqual([line, 1]);
});
