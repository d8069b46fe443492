/** What doc comments of props say about values and defaults is what the table of limits says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import {
  BARRIER_LIMITS,
  CIDR,
  CLUSTER_LIMITS,
  CLUSTER_NAME_LENGTH,
  EXPOSE_LIMITS,
  HOST_DEFAULTS,
  HOST_LIMITS,
  MOST_BARRIER_HOSTS,
  POOL,
  SEED_PORT,
} from '../../src/contract/manifest';

/** The doc comment of each prop in a file, in one line. */
function docsOf(file: string): Record<string, string> {
  const text = readFileSync(join(__dirname, '../../src/constructs', file), 'utf8');
  return Object.fromEntries(
    [...text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*readonly (\w+)\??:/g)].map(([, doc, name]) => [
      name,
      doc.replace(/\s*\n\s*\*?\s*/g, ' ').trim(),
    ]),
  );
}
const host = docsOf('host/host-options.ts');
const barrier = docsOf('host/start-barrier.ts');
const cluster = docsOf('cluster/cluster-props.ts');
const reference = docsOf('cluster/cluster-reference.ts');
const seed = docsOf('seed/seed-node.ts');
const expose = docsOf('ingress/expose-options.ts');

const number = (value: number) => value.toLocaleString('en');
const duration = (ms: number) => Duration.millis(ms).toHumanString();
/** The default of a prop as TypeScript, in the units of the table. */
function defaultOf(doc: string): unknown {
  const [, text] = /@default (.*)$/.exec(doc)!;
  const [, unit, amount] = /^Duration\.(seconds|minutes)\((\d+)\)$/.exec(text) ?? [];
  return unit === undefined
    ? JSON.parse(text.replaceAll("'", '"'))
    : Duration[unit as 'seconds'](Number(amount)).toMilliseconds();
}

test.each(Object.entries(HOST_LIMITS))("the default of a host's %s", (name, limit) => {
  expect(defaultOf(host[name])).toBe(limit.default);
});

test.each(Object.entries(CLUSTER_LIMITS))("a cluster's %s", (name, limit) => {
  expect(cluster[name]).toContain(`: ${number(limit.low)} to ${number(limit.high)}.`);
  expect(defaultOf(cluster[name])).toBe(limit.default);
});

test.each([
  'maxConnectionsPerClient',
  'maxNewConnectionsPerMinutePerClient',
  'maxAllocationsPerMinutePerClient',
] as const)("an exposed port's %s", (name) => {
  const limit = EXPOSE_LIMITS[name];
  expect(expose[name]).toContain(`: ${number(limit.low)} to ${number(limit.high)}.`);
  expect(defaultOf(expose[name])).toBe(limit.default);
});

test('the other defaults and ranges', () => {
  const { memorySize, timeout } = HOST_LIMITS;
  expect(host.memorySize).toContain(`, ${number(memorySize.low)} to ${number(memorySize.high)}.`);
  expect(host.timeout).toContain(
    `, ${duration(timeout.low)} to ${duration(timeout.high)} (${number(timeout.high / 1_000)} seconds).`,
  );
  expect(host.pooled).toContain(` keeps ${number(POOL.sandboxes)} of a function for every 1,000 concurrent executions`);
  expect(defaultOf(host.workingDirectory)).toBe(HOST_DEFAULTS.workingDirectory);
  expect(cluster.clusterName).toContain(`: 1 to ${CLUSTER_NAME_LENGTH} letters`);
  expect(cluster.cidr).toContain(`, /${CIDR.shortest} to /${CIDR.longest}.`);
  expect(defaultOf(cluster.cidr)).toBe(CIDR.default);
  for (const docs of [reference, seed]) expect(defaultOf(docs.seedPort)).toBe(SEED_PORT.default);
});

test("a start barrier's", () => {
  const { timeout } = BARRIER_LIMITS;
  expect(defaultOf(barrier.timeout)).toBe(timeout.default);
  expect(barrier.timeout).toContain(` ${timeout.low} milliseconds to ${duration(timeout.high)}. `);
  const source = readFileSync(join(__dirname, '../../src/constructs/host/start-barrier.ts'), 'utf8');
  expect(source).toContain(` of 1 to ${MOST_BARRIER_HOSTS} other hosts`);
});
