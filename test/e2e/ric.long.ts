/**
 * The handler under AWS's own runtime client for Node.js, as it runs on Lambda: what calls it there is not our
 * bootstrap. The client is installed (and its native part compiled, which takes about a minute) once, into the package
 * cache folder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Platform, readManifest, startPlatform } from '../../src/local';
import { prepareCluster, type TestCluster } from '../support/cluster';

const VERSION = '4.0.2';
const TOOLS = ['cmake', 'g++', 'make', 'xz'];
const CACHE = resolve(__dirname, '../../node_modules/.cache');
const CLIENT = join(CACHE, `aws-lambda-ric-${VERSION}-node${process.versions.modules}`);
const python = '/usr/bin/python3';

const missing = TOOLS.filter((tool) => spawnSync(tool, ['--version']).status !== 0);
if (missing.length > 0 && !existsSync(CLIENT)) {
  process.stderr.write(
    `aws-lambda-ric is not tested: ${missing.join(', ')} missing (scripts/guests.sh installs them)\n`,
  );
}
const available = missing.length === 0 || existsSync(CLIENT);

/** A layer with the client and with what starts it. */
function installClient(): void {
  if (existsSync(CLIENT)) return;
  const making = `${CLIENT}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  writeFileSync(join(making, 'package.json'), '{ "private": true }');
  // Node's own headers where they came with it: nothing has to be fetched from elsewhere for them.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? { npm_config_nodedir: prefix } : {};
  execFileSync('npm', ['install', '--no-audit', '--no-fund', `aws-lambda-ric@${VERSION}`], {
    cwd: making,
    env: { ...process.env, ...headers },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const start = 'exec /var/lang/bin/node /opt/node_modules/aws-lambda-ric/index.mjs "$_HANDLER"';
  writeFileSync(join(making, 'bootstrap'), `#!/bin/sh\n${start}\n`);
  chmodSync(join(making, 'bootstrap'), 0o755);
  rmSync(CLIENT, { recursive: true, force: true });
  renameSync(making, CLIENT);
}

(available ? describe : describe.skip)('the handler under aws-lambda-ric', () => {
  let cluster: TestCluster;
  let platform: Platform;
  beforeAll(async () => {
    installClient();
    const files = { name: 'files', command: [python, '-u', '-m', 'http.server', '8000'] };
    const pooled = ['shard-0', 'shard-1'].map((name) => ({ ...files, name, functionName: 'test-shard', pooled: true }));
    cluster = prepareCluster([{ ...files, idleTimeout: 300, releaseTimeout: 6_000, settleTime: 200 }, ...pooled]);
    writeFileSync(join(cluster.folder, 'hello.txt'), 'hello\n');
    const application = readManifest(join(cluster.folder, 'manifest.json'));
    const functions = application.functions.map((fn) => ({
      ...fn,
      runtime: 'provided' as const,
      layers: [...fn.layers, CLIENT],
    }));
    platform = await startPlatform({ application: { ...application, functions }, stateDir: cluster.state });
  }, 600_000);
  afterAll(async () => {
    await platform?.stop();
    await cluster?.dispose();
  });
  const get = () => cluster.exec(['curl', '-sS', 'http://files:8000/hello.txt']);

  test('runs, resumes and releases a host', async () => {
    if (!platform.info.isolation.filesystem) return;
    expect(await get()).toMatchObject({ code: 0, stdout: 'hello\n' });
    const { time } = await cluster.waitFor((e) => e.host === 'files' && e.event === 'suspended');
    expect(await get()).toMatchObject({ stdout: 'hello\n' });
    await cluster.waitFor((e) => e.host === 'files' && e.event === 'resumed' && e.time > time);
    await cluster.waitFor((e) => e.host === 'files' && e.event === 'released');
    expect(await get()).toMatchObject({ stdout: 'hello\n' });
    expect(await cluster.host('files')).toMatchObject({ allocations: 2 });
    expect(await cluster.logs('files')).not.toMatch(/ERROR|Error/);
  });

  test('runs pooled hosts: its context has the tenant', async () => {
    if (!platform.info.isolation.filesystem) return;
    for (const name of ['shard-0', 'shard-1']) {
      const answer = await cluster.exec(['curl', '-sS', `http://${name}:8000/hello.txt`]);
      expect(answer).toMatchObject({ code: 0, stdout: 'hello\n' });
      expect(await cluster.host(name)).toMatchObject({ state: 'running', allocations: 1 });
    }
  });
});
