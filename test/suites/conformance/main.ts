/**
 * Conformance: test suites that nobody here wrote, run natively and under the shim on the same machine, test by test.
 * What counts is not whether a test passes but that it ends the same on both sides.
 *
 *   npm run test:conformance [-- --jobs N] [-- PART...]     PART: test_socket, libuv_tcp, connects, …; default all
 *
 * Beside them `connects`: 1,000,000 connects of one guest, of which nothing may be left (test/shim/connects.ts).
 *
 * The runs under the shim are commands of `imaginary exec` in a cluster on the local platform. A test that ends
 * differently runs again on both sides, alone, three times at most; if it then ends the same it is reported as flaky.
 * Differences that stay are in docs/transparency.md and listed here with their reason; any other one fails. Writes
 * test-reports/conformance.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { manyConnects } from '../../shim/connects';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { type Difference, differences, isKnown, type Outcomes, tally } from './compare';
import { findCpython } from './cpython';
import { findLibuv } from './libuv';
import { natively, type Part, type Suite, SuiteMissingError, underShim } from './suite';

const REPORTS = resolve(__dirname, '../../../test-reports');
const SUITES = [findCpython, findLibuv];
/** A test that races with something ends one way or the other on both sides. */
const AGAIN = 3;
const CONNECTS = 'connects';
const MANY = 1_000_000;
/** The second byte of the addresses of the connects' hosts. */
const FLAT = 222;

interface Verdict {
  readonly part: string;
  readonly passed: number;
  readonly failed: readonly Difference[];
  readonly flaky: readonly Difference[];
  readonly known: readonly (Difference & { readonly reason: string })[];
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { jobs: { type: 'string', default: '2' } },
    allowPositionals: true,
  });
  const suites: Suite[] = [];
  const missing: string[] = [];
  for (const find of SUITES) {
    try {
      suites.push(find());
    } catch (error) {
      if (!(error instanceof SuiteMissingError)) throw error;
      missing.push(error.message);
      console.log(`skipped: ${error.message}`);
    }
  }
  // These tests use the machine's own addresses, which network `nat` has none of.
  const hosts = [{ name: 'web', command: ['/usr/bin/python3', '-m', 'http.server', '80'] }];
  const cluster = await bootCluster(hosts, { upArguments: ['--network', 'flat'] });
  const verdicts: Verdict[] = [];
  // However it ends, also by a signal: no cluster is left behind.
  const end = () => void cluster.dispose().finally(() => process.exit(1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  try {
    // Suites use ports of their own, and wait more than they work. What differs runs again alone.
    const judges = await Promise.all(
      suites.map((suite) => runSuite(suite, cluster, suite.alone ? 1 : Number(values.jobs), positionals)),
    );
    for (const judge of judges) verdicts.push(...(await judge()));
  } finally {
    await cluster.dispose();
  }
  const leaks = positionals.length === 0 || positionals.includes(CONNECTS) ? await connects() : undefined;
  const different = verdicts.flatMap((verdict) => verdict.failed);
  const failures = different.map((difference) => ({
    name: inWords(difference),
    reason: difference.shim.detail || difference.native.detail,
  }));
  if (leaks?.failed) failures.push({ name: CONNECTS, reason: leaks.said });
  const failed = failures.length;
  const passed = verdicts.reduce((sum, verdict) => sum + verdict.passed, 0) + (leaks?.passed ?? 0);
  mkdirSync(REPORTS, { recursive: true });
  const report = { passed, failed, skipped: missing.length, failures, missing, verdicts, connects: leaks };
  writeFileSync(join(REPORTS, 'conformance.json'), `${JSON.stringify(report, null, 2)}\n`);
  // Neither passed nor failed: they differ, and it is documented why.
  const known = verdicts.reduce((sum, verdict) => sum + verdict.known.length, 0);
  if (known > 0) console.log(`conformance: ${known} known differences, counted nowhere`);
  console.log(`conformance: ${passed} passed, ${failed} failed, ${missing.length} skipped`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}

async function connects() {
  console.log(`${CONNECTS}: ${MANY} of every kind, by one guest`);
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  try {
    const said = (await manyConnects(FLAT, MANY)).split('\n', 1)[0];
    console.log(`  ${said}; nothing is left of them (${seconds()} s)`);
    return { passed: 1, failed: 0, said };
  } catch (error) {
    const said = (error as Error).message;
    console.log(`  FAILED: ${said} (${seconds()} s)`);
    return { passed: 0, failed: 1, said };
  }
}

/** Runs all of it; what it returns looks at what differs. */
async function runSuite(
  suite: Suite,
  cluster: TestCluster,
  jobs: number,
  wanted: readonly string[],
): Promise<() => Promise<Verdict[]>> {
  const parts = suite.parts.filter((part) => wanted.length === 0 || wanted.includes(part.name));
  if (parts.length === 0) return async () => [];
  console.log(`${suite.name}: ${suite.version}, ${parts.length} parts, ${jobs} at a time`);
  for (const line of suite.leftOut) console.log(`  left out: ${line}`);
  const runs = parts.flatMap((part) => [
    { part, side: 'native' as const, runner: natively },
    { part, side: 'shim' as const, runner: underShim(cluster) },
  ]);
  runs.sort((a, b) => b.part.weight - a.part.weight);
  const results = new Map<string, Outcomes>();
  await inParallel(jobs, runs, async ({ part, side, runner }) => {
    const startedAt = performance.now();
    const outcomes = await part.run(runner);
    results.set(`${part.name} ${side}`, outcomes);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    console.log(`  ${part.name} ${side}: ${tally(outcomes)} (${seconds} s)`);
  });
  return async () => {
    const verdicts: Verdict[] = [];
    for (const part of parts) {
      const native = results.get(`${part.name} native`)!;
      const shim = results.get(`${part.name} shim`)!;
      verdicts.push(await judge(part, suite, cluster, native, shim));
    }
    return verdicts;
  };
}

async function judge(part: Part, suite: Suite, cluster: TestCluster, native: Outcomes, shim: Outcomes) {
  const first = differences(native, shim);
  const known: Verdict['known'][number][] = [];
  const doubtful: Difference[] = [];
  for (const difference of first) {
    const entry = isKnown(difference, suite.known);
    if (entry) known.push({ ...difference, reason: entry.reason });
    else doubtful.push(difference);
  }
  let failed: readonly Difference[] = [];
  if (doubtful.length > 0) {
    const tests = doubtful.map((difference) => difference.test);
    for (let again = 1; again <= AGAIN && (again === 1 || failed.length > 0); again++)
      failed = differences(await part.run(natively, tests), await part.run(underShim(cluster), tests));
  }
  const flaky = doubtful.filter((difference) => !failed.some((other) => other.test === difference.test));
  for (const reason of new Set(known.map((difference) => difference.reason))) {
    const tests = known.filter((difference) => difference.reason === reason).map((difference) => difference.test);
    console.log(`  known difference of ${inShort(tests)}: ${reason}`);
  }
  for (const difference of flaky) console.log(`  flaky, the same when run again: ${inWords(difference)}`);
  for (const difference of failed) {
    console.log(`  DIFFERENT: ${inWords(difference)}`);
    console.log(`${(difference.shim.detail || difference.native.detail).trim().replace(/^/gm, '    ')}`);
  }
  const all = new Set([...native.keys(), ...shim.keys()]).size;
  return { part: part.name, passed: all - failed.length - known.length, failed, flaky, known };
}

/** The report has all of them. */
const inShort = ([first, ...others]: readonly string[]) =>
  others.length === 0 ? first : `${first} and ${others.length} more`;

const inWords = ({ test, native, shim }: Difference) =>
  `${test}: natively ${native.outcome}, under the shim ${shim.outcome}`;

async function inParallel<T>(jobs: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: jobs }, worker));
}

main().catch((error: Error) => {
  console.error(error.stack);
  process.exitCode = 1;
});
