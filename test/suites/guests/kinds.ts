/**
 * The real guests and the demo with each kind of NAT between all of them: `npm run test:guests [-- KIND...]`. Two kinds
 * at a time, as they wait more than they work. Writes test-reports/guests.json. (test/e2e has them on `flat` and behind
 * NATs that preserve ports.)
 */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runScenario, scenarioNames } from './scenario';

const REPORTS = resolve(__dirname, '../../../test-reports');
const DEMO = resolve(__dirname, '../../../examples/shop/demo.ts');
const AT_ONCE = 2;
/** `imaginary up --help` says what they are. */
const KINDS = ['endpoint-independent', 'symmetric', 'shared', 'port-preserving+no-udp'];

/** The step that failed is the last that was played; what it needed is in the last line, as JSON. */
const DEMO_LINES = 60;
const lastLines = (said: string) => said.trimEnd().split('\n').slice(-DEMO_LINES).join('\n');

async function demo(kind: string): Promise<void> {
  const args = ['--import', require.resolve('tsx'), DEMO, '--network', 'nat', '--nat', kind];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const code = await new Promise((done) => child.once('close', done));
  if (code !== 0) throw new Error(`the demo: exit ${code}\n${lastLines(said)}`);
}

const failures: Array<{ name: string; reason: string }> = [];
let passed = 0;

async function attempt(kind: string, name: string, run: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  let ended = 'passed';
  try {
    await run();
    passed += 1;
  } catch (error) {
    failures.push({ name: `${kind}: ${name}`, reason: (error as Error).message });
    ended = `FAILED: ${(error as Error).message}`;
  }
  console.log(`${kind}: ${name}: ${ended} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`);
}

async function main(): Promise<void> {
  const kinds = process.argv.length > 2 ? process.argv.slice(2) : KINDS;
  const guests = async (kind: string) => {
    for (const name of scenarioNames())
      await attempt(kind, name, () => runScenario(name, { network: 'nat', nat: kind }));
  };
  const left = [...kinds];
  const worker = async () => {
    for (let kind = left.shift(); kind; kind = left.shift()) await guests(kind);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  // The demo says how long things take, and is always in the same folder.
  for (const kind of kinds) await attempt(kind, 'demo', () => demo(kind));
  mkdirSync(REPORTS, { recursive: true });
  const report = { passed, failed: failures.length, skipped: 0, failures };
  writeFileSync(join(REPORTS, 'guests.json'), `${JSON.stringify(report, null, 2)}\n`);
  console.log(`guests: ${passed} passed, ${failures.length} failed, 0 skipped`);
  if (failures.length > 0) process.exitCode = 1;
}

main().catch((error: Error) => {
  console.error(error.stack);
  process.exitCode = 1;
});
