import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const SCRIPT = path.resolve(__dirname, '../../scripts/test-summary.ts');

/** A suite as jest reports it. */
const jestReport = (passed: number, failed = 0, pending = 0, brokenSuites = 0) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: pending,
  numTodoTests: 0,
  numRuntimeErrorTestSuites: brokenSuites,
  testResults: [
    {
      name: path.resolve(__dirname, '../unit/some.test.ts'),
      status: failed > 0 ? 'failed' : 'passed',
      assertionResults: Array.from({ length: passed + failed }, (_, i) => ({
        fullName: `case ${i}`,
        status: i < failed ? 'failed' : 'passed',
        failureMessages: i < failed ? [`why ${i}\n  at some line`] : [],
      })),
    },
  ],
});

/** What the summary prints, and its exit code. */
function printed(reports: object[], exitCode = '0') {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'reports-'));
  for (const [i, report] of reports.entries()) fs.writeFileSync(path.join(folder, `${i}.json`), JSON.stringify(report));
  const args = ['--import', 'tsx', SCRIPT, '--exit-code', exitCode, '--reports', folder];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  fs.rmSync(folder, { recursive: true });
  return { lines: stdout.trimEnd().split('\n'), status };
}

/** The summary's last line and exit code. */
function summary(reports: object[], exitCode = '0') {
  const { lines, status } = printed(reports, exitCode);
  return [lines.at(-1), status];
}

test('names what failed, and why', () => {
  const other = { passed: 2, failed: 1, skipped: 0, failures: [{ name: 'symmetric: redis', reason: 'exit 1' }] };
  expect(printed([jestReport(1, 2), other]).lines).toEqual([
    '0.json: 1 passed, 2 failed, 0 skipped',
    '  failed: test/unit/some.test.ts: case 0',
    '    why 0',
    '      at some line',
    '  failed: test/unit/some.test.ts: case 1',
    '    why 1',
    '      at some line',
    '1.json: 2 passed, 1 failed, 0 skipped',
    '  failed: symmetric: redis',
    '    exit 1',
    '3 passed, 3 failed, 0 skipped',
  ]);
});

test('keeps a long reason short: its beginning and its end', () => {
  const reason = Array.from({ length: 55 }, (_, i) => `line ${i} ${'x'.repeat(1000)}`).join('\n');
  const { lines } = printed([{ passed: 1, failed: 1, skipped: 0, failures: [{ name: 'one', reason }] }]);
  expect(lines).toHaveLength(2 + 20 + 1 + 20 + 1);
  expect(lines.slice(2 + 19, 2 + 22).map((line) => line.replace(/ x+$/, ''))).toEqual([
    '    line 19',
    '    (15 lines more)',
    '    line 35',
  ]);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(250);
});

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
