/** Connections to guests that echo, made by a client or by a guest of a host that runs errands. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestCluster } from './cluster';
import { guestFiles, python } from './guests';

export const echo = (name: string) => ({ name, command: [python, 'echo.py', '7000'] });

/** The host that connections of guests come from. */
export const other = { name: 'other', command: [python, 'errand.py', 'serve'] };

export const dialFiles: Record<string, string> = {
  ...guestFiles('echo.py', 'dial.py'),
  'errand.py': readFileSync(join(__dirname, '../suites/guests/errand.py'), 'utf8'),
};

/** Who connects: a client (`exec`), or a guest of `other`. */
export type From = 'client' | 'other';

/** A connect or an answer that takes 30 s is a failure. */
export async function dialFrom(
  cluster: TestCluster,
  from: From,
  to: string,
  count: number,
  parallel = 1,
): Promise<{ ok: number; failed: readonly string[] }> {
  const file = from === 'client' ? join(cluster.folder, 'dial.py') : 'dial.py';
  const command = [python, file, to, '7000', String(count), String(parallel)];
  const errand = [python, join(cluster.folder, 'errand.py'), 'ask', 'other', ...command];
  const run = await cluster.exec(from === 'client' ? command : errand, { timeout: 120_000 });
  expect(run).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(run.stdout);
}
