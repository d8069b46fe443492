/**
 * Sandboxes that nobody asks for anything are ended: what a platform holds does not grow with what was ever allocated.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { eventually } from '../../support/eventually';
import { mentioning, processesOf } from '../../support/processes';
import { type Booted, bootFunctions, plain } from '../boot';

const names = Array.from({ length: 6 }, (_, i) => `fn${i}`);
let booted: Booted;
afterEach(() => booted?.dispose());

const descriptors = () => readdirSync('/proc/self/fd').length;
/** Of the SDK's client, and what the platform has of them. */
const connections = () => {
  const port = Number(new URL(booted.platform.info.lambda.url).port).toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .filter((row) => new RegExp(`:${port} .{13} 01 `).test(row)).length;
};
const sandboxes = () => names.flatMap(processesOf).length;

test.each(['flat', 'auto'] as const)(
  'over many of them, network: %s',
  async (network) => {
    const functions = names.map((name) => plain({ name }));
    booted = await bootFunctions(functions, { network, recycleAfter: 100 });
    const cycle = async () => {
      await Promise.all(names.map((name) => booted.call({ do: 'echo' }, name)));
      await eventually(() => sandboxes() === 0);
      await eventually(() => readdirSync(`${booted.stateDir}/sandboxes`).length === 0);
    };
    // The connections of the SDK's client are not what is counted, nor is what is opened once.
    await cycle();
    booted.lambda.destroy();
    await eventually(() => connections() === 0);
    const before = descriptors();
    for (let i = 0; i < 3; i++) await cycle();
    booted.lambda.destroy();
    await eventually(() => descriptors() <= before);
    const launchers = mentioning('/sandbox --control').filter((pid) => names.flatMap(processesOf).includes(pid));
    expect(launchers).toEqual([]);
  },
  60_000,
);

test('not while they are asked for something', async () => {
  booted = await bootFunctions([plain({ name: 'fn0', timeout: 10_000 })], { recycleAfter: 200 });
  const first = await booted.call({ do: 'wait', ms: 1 }, 'fn0');
  // Longer than it would be kept, but never idle for so long.
  expect((await booted.call({ do: 'wait', ms: 500 }, 'fn0')).started).toBe(first.started);
  await eventually(() => sandboxes() === 0);
  expect((await booted.call({ do: 'wait', ms: 1 }, 'fn0')).started).not.toBe(first.started);
}, 30_000);
