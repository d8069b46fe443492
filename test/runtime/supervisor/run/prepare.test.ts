/** What a sandbox does before it is invoked, and never after. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { Supervisor } from '../../../../src/runtime/supervisor/run/supervisor';

const release: Invocation = {
  ...{ version: 1, cluster: 'test', host: 'api', epoch: 5, action: 'release' },
  ...{ seed: '127.0.0.1:1', secret: 'of nobody' },
};

let runDir: string;
let supervisor: Supervisor;
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'imaginary-prepare-'));
  supervisor = new Supervisor({ runDir, environment: process.env, write: () => undefined });
});
afterEach(() => rmSync(runDir, { recursive: true }));

test('a sandbox that is prepared has the run directory; a release gives it back', async () => {
  supervisor.prepare();
  expect(readdirSync(runDir)).not.toEqual([]);
  await supervisor.invoke(release, () => 1_000);
  expect(readdirSync(runDir)).toEqual([]);
});

test('a preparation that comes after the first invocation takes nothing', async () => {
  await supervisor.invoke(release, () => 1_000);
  supervisor.prepare();
  expect(readdirSync(runDir)).toEqual([]);
});
