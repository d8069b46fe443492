/**
 * Verifies the snapshots of integ/ without an AWS account: each integ.*.ts is synthesised and its template compared
 * with the committed one (asset hashes apart). To accept a change: `npx tsx scripts/integ.ts --update`.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

const root = path.resolve(__dirname, '..');
const tests = fs.readdirSync(path.join(root, 'integ')).filter((name) => /^integ\..*\.ts$/.test(name));
const args = ['--app', 'tsx {filePath}', '--test-regex', '^integ\\..*\\.ts$', '--directory', 'integ'];
if (process.argv.includes('--update')) args.push('--update-on-failed', '--dry-run');
const { status } = spawnSync('integ-runner', args, { cwd: root, stdio: 'inherit' });

const counts = status === 0 ? { passed: tests.length, failed: 0 } : { passed: 0, failed: tests.length };
fs.mkdirSync(path.join(root, 'test-reports'), { recursive: true });
fs.writeFileSync(path.join(root, 'test-reports', 'integ.json'), JSON.stringify({ ...counts, skipped: 0 }));
process.exitCode = status ?? 1;
