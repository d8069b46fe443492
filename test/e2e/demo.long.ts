import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { finish } from '../support/cluster';

const DEMO = resolve(__dirname, '../../examples/shop/demo.ts');

async function demo(...args: string[]) {
  const child = spawn(process.execPath, ['--import', require.resolve('tsx'), DEMO, ...args], {
    env: { ...process.env, NO_COLOR: '1' },
  });
  const { code, stdout, stderr } = await finish(child, 'the demo', { timeout: 120_000 });
  return { code, stderr, last: JSON.parse(stdout.trim().split('\n').at(-1)!) };
}

test.each(['flat', 'nat'])('all ten things hold on network %s, and the last line says so', async (network) => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-demo-'));
  try {
    const svg = join(folder, 'timeline.svg');
    const { code, last } = await demo('--svg', svg, '--network', network);
    expect(last).toMatchObject({ demo: 'ok', failed: [], skipped: [] });
    expect(last.held).toHaveLength(10);
    expect(last.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(last.browser).toBe('chromium-headless-shell');
    expect(last.hosts).toEqual(
      ['web', 'api', 'redis', 'worker', 'db'].map((name) => ({
        name,
        allocations: name === 'db' ? 1 : 2,
        allocateMs: expect.any(Number),
      })),
    );
    expect(code).toBe(0);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('what does not hold is named, and the exit code is 1', async () => {
  const { code, last } = await demo('--sandbox', 'of-glass');
  expect(code).toBe(1);
  expect(last).toMatchObject({ demo: 'failed', hosts: [], held: [] });
  expect(last.failed[0].reason).toContain('of-glass');
});
