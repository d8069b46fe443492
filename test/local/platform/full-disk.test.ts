/**
 * The disk of the state directory is full while a cluster runs: it runs on, and what ends it in spite of that can be
 * told.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runningCluster } from '../../../src/cli/target/state';
import { readPlatform, startPlatform } from '../../../src/local';
import { eventually } from '../../support/eventually';
import { mentioning, signal } from '../../support/processes';
import { bootFunctions, emptyManifest, plain } from '../boot';

const root = process.getuid?.() === 0;
if (!root) process.stderr.write('not run: a full disk needs a tmpfs, and that root\n');

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'imaginary-full-'));
  if (root) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', stateDir]);
});
afterEach(() => {
  if (root) execFileSync('umount', ['-l', stateDir]);
  rmSync(stateDir, { recursive: true, force: true });
});

function fill(): void {
  try {
    writeFileSync(join(stateDir, 'ballast'), Buffer.alloc(4 * 1024 * 1024));
  } catch {
    // As intended.
  }
  expect(statfsSync(stateDir).bavail).toBe(0);
}
const seedsOf = (file: string) =>
  mentioning(`seed.js --manifest ${file}`).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('node');
    } catch {
      return false; // it has ended
    }
  });

(root ? test : test.skip)(
  'functions and seeds are started, logs or not; ps tells what ended it',
  async () => {
    const booted = await bootFunctions([plain(), plain({ name: 'other' })], { stateDir });
    const { manifestFile } = booted.platform.info;
    fill();
    // The seed's log is there; without it there is no room for a new one either.
    rmSync(join(stateDir, 'logs', 'seed.log'));
    fill();
    expect(await booted.call({ do: 'print', text: 'x'.repeat(100_000) })).toBeNull();
    expect(await booted.call({ do: 'echo', value: 1 }, 'other')).toMatchObject({ value: 1 });
    let failure: Error | undefined;
    booted.platform.done.catch((error: Error) => {
      failure = error;
    });
    const ended = new Set<number>();
    await eventually(() => {
      for (const pid of seedsOf(manifestFile).filter((seed) => !ended.has(seed))) {
        signal([pid], 'SIGKILL');
        ended.add(pid);
      }
      return failure !== undefined;
    }, 30_000);
    expect(ended.size).toBeGreaterThan(1);
    await booted.platform.stop();
    expect(readPlatform(stateDir)?.ended?.reason).toMatch(
      /^the seed .*; the disk of \S+ is full \(\d+ bytes are left\)$/,
    );
    expect(() => runningCluster(stateDir)).toThrow(/ended by itself at \d{4}-.*: the seed .*disk of .* is full/);
    // With room again, it boots again.
    rmSync(join(stateDir, 'ballast'));
    const application = { source: 'test', manifest: emptyManifest(), functions: [plain()] };
    const again = await startPlatform({ application, stateDir, network: 'flat' });
    expect(runningCluster(stateDir).ended).toBeUndefined();
    await again.stop();
    expect(readPlatform(stateDir)).toBeUndefined();
    booted.lambda.destroy();
  },
  60_000,
);
