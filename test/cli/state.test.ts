import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findHost, runningCluster, stateDirectory } from '../../src/cli/target/state';
import { parseManifest } from '../../src/contract/manifest';
import { PLATFORM_INFO } from '../support/platform-info';
import { temporaryFolder } from './run';

test('the nearest .imaginary from here upwards, unless one is given', () => {
  const folder = realpathSync(temporaryFolder());
  const inner = join(folder, 'a/b');
  mkdirSync(inner, { recursive: true });
  mkdirSync(join(folder, '.imaginary'));
  const here = process.cwd();
  try {
    process.chdir(inner);
    expect(stateDirectory(undefined)).toBe(join(folder, '.imaginary'));
    expect(stateDirectory('x')).toBe(join(inner, 'x'));
  } finally {
    process.chdir(here);
  }
});

test('a platform that ended without down is told from one that never was', () => {
  const state = temporaryFolder();
  expect(() => runningCluster(state)).toThrow(/no cluster is running/);
  writeFileSync(join(state, 'platform.json'), JSON.stringify({ ...PLATFORM_INFO, ended: undefined }));
  expect(() => runningCluster(state)).toThrow(/not running: its platform did not boot, or ended by itself/);
});

test('hosts are found by name and alias; an unknown one is told which there are', () => {
  const host = { address: '100.64.0.2', functionName: 'f', command: ['x'] };
  const manifest = parseManifest({
    version: 1,
    cluster: { name: 'shop' },
    hosts: [
      { ...host, name: 'redis', aliases: ['cache'] },
      { ...host, name: 'web', address: '100.64.0.3', functionName: 'g' },
    ],
    services: [{ name: 'api', hosts: ['web', 'redis'] }],
  });
  expect(findHost(manifest, 'Cache').name).toBe('redis');
  expect(() => findHost(manifest, 'db')).toThrow(
    expect.objectContaining({
      message: "the cluster 'shop' has no host 'db'",
      next: 'Its hosts: redis or cache, web',
      exitCode: 2,
    }),
  );
  expect(() => findHost(manifest, 'api')).toThrow(
    expect.objectContaining({
      message: "'api' is a service of the cluster 'shop', and no host",
      next: 'Name one of its hosts: web, redis',
      exitCode: 2,
    }),
  );
});
