/** On a machine that allows nothing: no namespaces, no cgroups. */
import { existsSync } from 'node:fs';
import { running } from '../../support/processes';
import { type Booted, bootFunctions, plain } from '../boot';

let bare: Booted;
beforeAll(async () => {
  bare = await bootFunctions([plain()], { sandbox: 'none' });
});
afterAll(() => bare?.dispose());

test('functions run, and what is missing is said', async () => {
  expect(bare.platform.info.isolation).toMatchObject({
    ...{ filesystem: false, uid: false, pids: false, devShm: false, freeze: 'sigstop', memory: false },
  });
  expect(bare.platform.info.isolation.missing.join('\n')).toMatch(/whole file system/);
  expect(await bare.call({ do: 'echo', value: 1 })).toEqual({ value: 1, invocations: 1 });
});

test('own TMPDIR, the limits that need no privilege, no port below 1024', async () => {
  const { TMPDIR } = await bare.call({ do: 'environment' });
  expect(existsSync(TMPDIR)).toBe(true);
  expect((await bare.call({ do: 'descriptors' })).count).toBeLessThan(1024);
  expect(await bare.call({ do: 'bind', port: 1023 })).toBe('EACCES');
  expect(await bare.call({ do: 'text', path: '/proc/self/status' })).toMatch(/CapEff:\s0+\n/);
});

test('nothing moves between invocations', async () => {
  await bare.call({ do: 'tick' });
  const first = await bare.call({ do: 'ticks' });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const second = await bare.call({ do: 'wait', ms: 100 }).then(() => bare.call({ do: 'ticks' }));
  expect(second.own).toBeGreaterThan(first.own + 10);
  expect(second.own).toBeLessThan(first.own + 400);
  expect(second.child).toBeGreaterThan(first.child);
});

test('what is left running ends with the sandbox, also what left its process group', async () => {
  await bare.call({ do: 'leave', seconds: 3604 });
  expect(running('/bin/sleep 3604')).toHaveLength(1);
  const { TMPDIR } = await bare.call({ do: 'environment' });
  await bare.error({ do: 'exit', code: 1 });
  expect(running('/bin/sleep 3604')).toHaveLength(0);
  expect(existsSync(TMPDIR)).toBe(false);
});
