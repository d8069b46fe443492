/** What a platform writes is for its user alone: keys, environments of guests, what they wrote, ways in. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { startPlatform } from '../../../src/local';
import { cgroupPrefix } from '../../../src/local/sandbox/cgroup';
import { bootFunctions, emptyManifest, plain } from '../boot';

/** Everything below that others may read, write or go into, and the folders on the way to it that let them pass. */
function openToOthers(folder: string, top = folder): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isSymbolicLink()) return [];
    // Nobody passes a folder that is closed, so it does not matter what is in it.
    if ((statSync(path).mode & 0o077) === 0) return [];
    return [relative(top, path), ...(entry.isDirectory() ? openToOthers(path, top) : [])];
  });
}

/** The runtime client is a program of ours, which sandboxes run under other users. */
const PUBLIC = ['runtime', 'runtime/bootstrap.js'];

describe.each([
  ['auto', 'flat'],
  ['none', 'flat'],
  ['auto', 'auto'],
] as const)('sandbox: %s, network: %s', (sandbox, network) => {
  test('in a state directory that others may enter, with files of an earlier version', async () => {
    const umask = process.umask(0);
    const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
    chmodSync(stateDir, 0o755);
    mkdirSync(join(stateDir, 'logs'));
    for (const file of ['manifest.json', 'logs/plain.log', 'logs/gone.log', 'logs/seed.log']) {
      writeFileSync(join(stateDir, file), '', { mode: 0o644 });
    }
    const booted = await bootFunctions([plain({ environment: { SECRET: 'x' } })], { stateDir, sandbox, network });
    try {
      await booted.call({ do: 'print', text: 'something' });
      expect(openToOthers(stateDir)).toEqual(PUBLIC);
      const outside = readdirSync(tmpdir()).filter((name) => name.startsWith(cgroupPrefix(stateDir)));
      if (sandbox === 'none' || booted.platform.info.network.kind === 'nat') expect(outside).not.toEqual([]);
      for (const name of outside) expect([name, statSync(join(tmpdir(), name)).mode & 0o077]).toEqual([name, 0]);
      if (process.getuid?.() !== 0) return;
      const nobody = { uid: 65_534, gid: 65_534, cwd: '/', encoding: 'utf8' } as const;
      const seen = execFileSync('/bin/sh', ['-c', 'find "$0" -type f -readable 2>/dev/null; true', stateDir], nobody);
      expect(seen).toBe(`${stateDir}/runtime/bootstrap.js\n`);
    } finally {
      process.umask(umask);
      await booted.dispose();
    }
  }, 30_000);
});

test('a state directory that is made is closed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
  const stateDir = join(folder, 'state');
  const application = { source: 'test', manifest: emptyManifest(), functions: [plain()] };
  const platform = await startPlatform({ application, stateDir, network: 'flat' });
  try {
    expect(statSync(stateDir).mode & 0o777).toBe(0o700);
  } finally {
    await platform.stop();
    rmSync(folder, { recursive: true });
  }
});
