/** examples/burst: boots as its README says, and spreads a burst over its hosts. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { finish } from '../support/cluster';

const CLI = resolve(__dirname, '../../assets/cli/imaginary.js');
const FOLDER = resolve(__dirname, '../../examples/burst');

test('one connect starts one host, and 24 at once start all six', async () => {
  const state = mkdtempSync(join(tmpdir(), 'imaginary-burst-'));
  const imaginary = async (command: string, ...more: string[]) => {
    const child = spawn(process.execPath, [CLI, command, '--state', join(state, 'state'), ...more], { cwd: FOLDER });
    const result = await finish(child, command, { timeout: 120_000 });
    if (result.code !== 0) throw new Error(`imaginary ${command}: exit ${result.code}\n${result.stderr}`);
    return result.stdout;
  };
  try {
    await imaginary('up');
    expect(await imaginary('exec', '--', 'curl', '-s', 'http://api:8080/')).toBe('api-0\n');
    const many = 'for i in $(seq 24); do curl -s http://api:8080/ & done; wait';
    const answers = (await imaginary('exec', '--', 'sh', '-c', many)).trim().split('\n');
    expect(answers).toHaveLength(24);
    expect([...new Set(answers)].sort()).toEqual(['api-0', 'api-1', 'api-2', 'api-3', 'api-4', 'api-5']);
  } finally {
    await imaginary('down').catch(() => undefined);
    rmSync(state, { recursive: true, force: true });
  }
});
