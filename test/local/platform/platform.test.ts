import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import {
  cleanLeftovers,
  faultsOf,
  isPlatformRunning,
  type PlatformInfo,
  readPlatform,
  startPlatform,
} from '../../../src/local';
import { launcherFile } from '../../../src/local/paths';
import { cgroupPrefix } from '../../../src/local/sandbox/cgroup';
import { eventually } from '../../support/eventually';
import { hasNetworkNamespaces } from '../../support/namespaces';
import { holdersOf, mentioning, processesOf } from '../../support/processes';
import { type Booted, bootFunctions, client, emptyManifest, FUNCTIONS, flatNumber, plain } from '../boot';

jest.setTimeout(30_000);
const NOBODY = 65_534;

let booted: Booted;
beforeAll(async () => {
  booted = await bootFunctions([plain()]);
});
afterAll(() => booted?.dispose());

const application = (port?: number) => ({ source: 'test', manifest: emptyManifest(port), functions: [plain()] });
const failing = (what: Promise<unknown>) =>
  what.then(
    () => undefined,
    (error) => error,
  );

test('platform.json tells everything that others need, to nobody else', async () => {
  expect(readPlatform(booted.stateDir)).toEqual(booted.platform.info);
  expect(isPlatformRunning(booted.platform.info)).toBe(true);
  const { keyFile, manifestFile, seed } = booted.platform.info;
  expect(seed).toBe(`127.${flatNumber(booted.platform)}.0.1:9410`);
  expect(readFileSync(keyFile, 'utf8')).toMatch(/^[\w-]{43}\n$/);
  expect(JSON.parse(readFileSync(manifestFile, 'utf8')).cluster.name).toBe('unit');
  for (const file of [keyFile, join(booted.stateDir, 'platform.json')]) expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('a process that has ended, and another one of its number', () => {
  const { info } = booted.platform;
  expect(isPlatformRunning({ ...info, pid: 2 ** 22 + 1 })).toBe(false);
  expect(isPlatformRunning({ ...info, pid: 1 })).toBe(false);
  expect(isPlatformRunning({ ...info, processStart: 'another' })).toBe(false);
});

test('a second one in the same state directory is refused, and harms nothing', async () => {
  const error = await failing(startPlatform({ application: application(), stateDir: booted.stateDir }));
  expect(error).toMatchObject({ code: 'already-running', next: expect.stringContaining('imaginary down') });
  expect(await booted.call({ do: 'echo', value: 1 })).toMatchObject({ value: 1 });
});

test('two clusters with the same port get different addresses', async () => {
  const other = await bootFunctions([plain()]);
  try {
    expect(flatNumber(other.platform)).not.toBe(flatNumber(booted.platform));
    expect(await other.call({ do: 'echo', value: 2 })).toMatchObject({ value: 2 });
  } finally {
    await other.dispose();
  }
});

test('a port that something else has: one error that names it and says what to do', async () => {
  const server = createServer();
  const port = await new Promise<number>((done) =>
    server.listen(0, '0.0.0.0', () => done((server.address() as { port: number }).port)),
  );
  const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
  try {
    const error = await failing(startPlatform({ application: application(), stateDir, port, network: 'flat' }));
    expect(error).toMatchObject({ code: 'port-in-use', message: expect.stringContaining(`port ${port}`) });
    expect((error as any).next).toContain('--port');
  } finally {
    server.close();
    rmSync(stateDir, { recursive: true });
  }
});

(hasNetworkNamespaces ? test : test.skip)('network nat: a function finds what Lambda shows it', async () => {
  const on = await bootFunctions([plain()], { network: 'auto' });
  try {
    const { network, isolation } = on.platform.info;
    expect(network.kind).toBe('nat');
    const environment = await on.call({ do: 'environment' });
    expect(environment).toMatchObject({ AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001' });
    expect(environment).not.toHaveProperty('IMAGINARY_FLAT');
    const bind = 'import socket; socket.socket().bind(("0.0.0.0", 1023))';
    expect(await on.error({ do: 'run', command: ['/usr/bin/python3', '-c', bind] })).toMatchObject({
      errorMessage: expect.stringContaining('Permission denied'),
    });
    expect(isolation.missing.filter((line) => line.startsWith('ports'))).toEqual([]);
  } finally {
    await on.dispose();
  }
});

test('the seed is restarted when it dies', async () => {
  const seeds = () => mentioning(`seed.js --manifest ${booted.platform.info.manifestFile}`).filter(isNode);
  const [first] = seeds();
  process.kill(first, 'SIGKILL');
  await eventually(() => seeds().length === 1 && seeds()[0] !== first);
});

test('a platform whose network has ended ends too, and says why', async () => {
  const on = await bootFunctions([plain()], { network: 'auto' });
  if (on.platform.info.network.kind === 'nat') {
    const done = failing(on.platform.done);
    const [holder] = mentioning(`hold --control 3 --answers 4 ${cgroupPrefix(on.stateDir)}`);
    process.kill(holder, 'SIGKILL');
    expect(await done).toMatchObject({ code: 'network', message: expect.stringContaining('has ended') });
    await on.platform.stop();
    expectNothingOf(on.stateDir);
  }
  await on.dispose();
});

test('stop leaves nothing: no process, no cgroup, no file of a running cluster', async () => {
  const other = await bootFunctions([plain()]);
  await other.call({ do: 'leave', seconds: 3605 });
  await other.platform.stop();
  await other.platform.done;
  expectNothingOf(other.stateDir);
  expect(readPlatform(other.stateDir)).toBeUndefined();
  await other.dispose();
});

test('stop in the midst of an invocation', async () => {
  const other = await bootFunctions([plain({ name: 'midst' })]);
  const open = failing(other.call({ do: 'hang' }, 'midst'));
  await eventually(() => processesOf('midst').length > 0);
  await other.platform.stop();
  expect(await open).toBeInstanceOf(Object);
  expectNothingOf(other.stateDir);
  await other.dispose();
});

test.each([
  ['auto', 'flat'],
  ['none', 'flat'],
  ['auto', 'auto'],
  ['none', 'auto'],
] as const)(
  'a platform that is killed takes everything with it (sandbox: %s, network: %s)',
  async (sandbox, network) => {
    const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
    const info = await bootElsewhere(stateDir, sandbox, network);
    try {
      const lambda = client(info.lambda);
      await lambda.send(
        new InvokeCommand({ FunctionName: 'plain', Payload: JSON.stringify({ do: 'leave', seconds: 3606 }) }),
      );
      lambda.destroy();
      expect(mentioning(stateDir).length).toBeGreaterThan(1);
      const namespace = await namespaceOf(info, 'plain');
      process.kill(info.pid, 'SIGKILL');
      // A process that ends loses its command line first, its namespace later, and its state last.
      await eventually(() => nothingRuns(stateDir) && mentioning('/bin/sleep 3606').length === 0);
      await eventually(() => namespace === undefined || holdersOf(namespace).length === 0);
      await eventually(() => !isPlatformRunning(readPlatform(stateDir)!));
      // What nobody but another platform can do: remove what is left in the way of files.
      await cleanLeftovers(stateDir);
      expectNothingOf(stateDir);
      expect(readPlatform(stateDir)).toBeUndefined();
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith(cgroupPrefix(stateDir)))).toEqual([]);
    } finally {
      rmSync(stateDir, { recursive: true, force: true });
    }
  },
);

const other = readableByOthers();
const networks = ['flat', 'auto'] as const;
(other ? test : test.skip).each(networks)(
  'a user without privileges, isolated and stopped (network: %s)',
  async (network) => {
    const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
    chmodSync(stateDir, 0o777);
    const info = await bootElsewhere(stateDir, 'auto', network, NOBODY);
    const lambda = client(info.lambda);
    const call = async (event: object) => {
      const answer = await lambda.send(new InvokeCommand({ FunctionName: 'plain', Payload: JSON.stringify(event) }));
      return JSON.parse(answer.Payload!.transformToString());
    };
    try {
      const { isolation } = info;
      expect(isolation.missing).not.toEqual([]);
      const why = isolation.missing.find((line) => line.includes('network nat'));
      if (network === 'auto') expect(info.network.kind).toBe(why === undefined ? 'nat' : 'flat');
      await call({ do: 'tick' });
      const first = await call({ do: 'ticks' });
      await new Promise((done) => setTimeout(done, 500));
      expect((await call({ do: 'ticks' })).own).toBeLessThan(first.own + 300);
      if (isolation.uid) expect(await call({ do: 'who' })).toMatchObject({ uid: 993, gid: 990 });
      if (isolation.filesystem) expect(await call({ do: 'write', path: '/var/task/x' })).toBe('EROFS');
      expect(await call({ do: 'write', path: '/tmp/x' })).toBe('ok');
    } finally {
      lambda.destroy();
      process.kill(info.pid, 'SIGKILL');
      await eventually(() => nothingRuns(stateDir));
      rmSync(stateDir, { recursive: true, force: true });
    }
  },
);

test('giving up while it boots leaves nothing', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
  const given = new AbortController();
  const booting = failing(startPlatform({ application: application(), stateDir, signal: given.signal }));
  await eventually(() => existsSync(join(stateDir, 'logs', 'seed.log')));
  given.abort(new Error('no longer wanted'));
  expect(await booting).toMatchObject({ message: 'no longer wanted' });
  expectNothingOf(stateDir);
  rmSync(stateDir, { recursive: true });
});

const root = process.getuid?.() === 0;
(root ? test : test.skip)('a full disk: one error that says so, nothing left running', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', stateDir]);
  try {
    for (const ballast of [64, 60, 52]) {
      writeFileSync(join(stateDir, 'ballast'), '');
      failingSync(() => writeFileSync(join(stateDir, 'ballast'), Buffer.alloc(ballast * 1024)));
      const error = await failing(startPlatform({ application: application(), stateDir }));
      if (error === undefined) throw new Error(`it booted, beside ${ballast} KB`);
      expect(error).toMatchObject({ code: 'disk-full', message: expect.stringContaining(stateDir) });
      expectNothingOf(stateDir);
    }
  } finally {
    execFileSync('umount', ['-l', stateDir]);
    rmSync(stateDir, { recursive: true });
  }
});

test('without network namespaces: flat, and why', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'imaginary-unit-'));
  const without = ['unshare', '--user', '--map-root-user', 'sh', '-c'];
  const limited = [...without, 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"', 'sh'];
  if (spawnSync(limited[0], [...limited.slice(1), 'true']).status !== 0) {
    return void process.stderr.write('not run: no user namespaces here\n');
  }
  const info = await bootElsewhere(stateDir, 'auto', 'auto', undefined, limited);
  try {
    expect(info.network.kind).toBe('flat');
    expect(info.isolation.missing.join('\n')).toMatch(/network nat cannot be had here: .*network namespace/);
  } finally {
    process.kill(info.pid, 'SIGKILL');
    await eventually(() => nothingRuns(stateDir));
    rmSync(stateDir, { recursive: true, force: true });
  }
});

test('a state directory that cannot be made', async () => {
  const error = await failing(startPlatform({ application: application(), stateDir: '/dev/null/state' }));
  expect(error).toMatchObject({ code: 'state-dir', message: expect.stringContaining('/dev/null/state') });
});

const nothingRuns = (stateDir: string) =>
  mentioning(stateDir).length === 0 &&
  mentioning(`hold --control 3 --answers 4 ${cgroupPrefix(stateDir)}`).length === 0;

/** Network `nat`: the namespace of a function's sandbox. */
async function namespaceOf({ network }: PlatformInfo, owner: string): Promise<string | undefined> {
  return network.kind === 'nat' ? readlinkSync((await faultsOf(network).where(owner)).net) : undefined;
}

function expectNothingOf(stateDir: string): void {
  expect(mentioning(stateDir)).toEqual([]);
  expect(nothingRuns(stateDir)).toBe(true);
  const cgroups = execFileSync('find', ['/sys/fs/cgroup', '-name', `${cgroupPrefix(stateDir)}*`], { encoding: 'utf8' });
  expect(cgroups).toBe('');
  const sandboxes = join(stateDir, 'sandboxes');
  expect(existsSync(sandboxes) ? readdirSync(sandboxes) : []).toEqual([]);
}

const isNode = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('node');
  } catch {
    return false; // it has ended since it was listed
  }
};
const failingSync = (what: () => unknown) => {
  try {
    what();
  } catch {
    // As intended.
  }
};

/** Whether another user could run this: we are root, and the project is not in a folder of root's own. */
function readableByOthers(): boolean {
  if (process.getuid?.() !== 0) return false;
  const files = [launcherFile(), join(FUNCTIONS, 'plain.js'), process.execPath];
  return spawnSync('/usr/bin/head', ['-c1', ...files], { uid: NOBODY, gid: NOBODY }).status === 0;
}

/** Boots a platform in a process of its own. */
function bootElsewhere(
  stateDir: string,
  sandbox: string,
  network: string,
  uid?: number,
  wrapper: readonly string[] = [],
): Promise<PlatformInfo> {
  const script = resolve(__dirname, 'elsewhere.ts');
  const line = [...wrapper, process.execPath, '--import', 'tsx', script, stateDir, sandbox, network];
  const child = spawn(line[0], line.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(uid ? { uid, gid: uid, env: { ...process.env, HOME: '/tmp' } } : {}),
  });
  return new Promise((done, fail) => {
    createInterface({ input: child.stdout }).once('line', (line) => done(JSON.parse(line)));
    child.once('exit', (code) => fail(new Error(`it did not boot: exit code ${code}`)));
  });
}
