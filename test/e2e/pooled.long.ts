/**
 * Hosts that share a function, with real guests on the local platform: each keeps what is its own, and lives and ends by
 * itself. Nothing is reserved, so it is the seed that keeps a host from running twice.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { hostIdentity, joinSecret, parseClusterKeys } from '../../src/contract/control/psk';
import type { Invocation } from '../../src/contract/platform/invocation';
import { readPlatform } from '../../src/local';
import { client } from '../local/boot';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { having, parentOf, processesOf, signal } from '../support/processes';

const NAMES = Array.from({ length: 6 }, (_, i) => `redis-${i}`);
const FUNCTION = 'pooled-redis';
const MARK = `${process.pid}`;
/** The shell stays, because redis writes over the environment that it is found by. */
const GUEST = "redis-server --bind 0.0.0.0 --dir /tmp --save '' --protected-mode no; exit $?";

describe.each([
  ['nat', ['--network', 'nat']],
  ['flat', ['--network', 'flat']],
  ['flat, without any privilege', ['--network', 'flat', '--sandbox', 'none']],
])('network %s', (_, upArguments) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster(
      NAMES.map((name) => ({
        ...{ name, functionName: FUNCTION, pooled: true, command: ['/bin/sh', '-c', GUEST], memorySize: 256 },
        ...{
          environment: { POOL_TEST: `${MARK}-${name}` },
          idleTimeout: 1_000,
          releaseTimeout: 10_000,
          releasePolicy: 'no-connections',
        },
      })),
      { name: 'pooled', upArguments },
    );
  }, 60_000);
  afterAll(() => cluster?.dispose());

  const redis = async (host: string, ...command: string[]) => {
    const run = await cluster.exec(['redis-cli', '-h', host, ...command]);
    if (run.code !== 0) throw new Error(run.stderr);
    return run.stdout.trim();
  };
  /** Which process it is, by a number that redis draws as it starts. */
  const runId = async (host: string) => /run_id:(\w+)/.exec(await redis(host, 'INFO', 'server'))![1];
  const since = (host: string, event: string, after: number) =>
    cluster.waitFor((e) => e.host === host && e.event === event && e.time > after);
  /** For as long as a client waits for an element of a list. */
  const held = async <T>(host: string, act: () => Promise<T>): Promise<T> => {
    const start = Date.now();
    const client = cluster.start(['redis-cli', '-h', host, 'BLPOP', 'nothing', '0']);
    try {
      await since(host, 'connected', start - 1);
      return await act();
    } finally {
      client.kill();
    }
  };
  const ids = new Map<string, string>();

  test('all of them at once: each has a sandbox and a state of its own', async () => {
    await Promise.all(NAMES.map((name) => redis(name, 'SET', 'me', name)));
    expect(await Promise.all(NAMES.map((name) => redis(name, 'GET', 'me')))).toEqual(NAMES);
    for (const name of NAMES) ids.set(name, await runId(name));
    expect(new Set(ids.values()).size).toBe(NAMES.length);
    // One runtime client for each guest, and it is that guest's.
    const clients = NAMES.map((name) => {
      const guests = having(`POOL_TEST=${MARK}-${name}`);
      expect(guests).toHaveLength(1);
      return parentOf(guests[0]);
    });
    expect(new Set(clients).size).toBe(NAMES.length);
    for (const runtime of clients) expect(processesOf(FUNCTION)).toContain(runtime);
    for (const name of NAMES) {
      const log = await cluster.logs(name);
      expect(log).toContain('Ready to accept connections');
      expect(existsSync(join(cluster.state, 'logs', `${FUNCTION}.log`))).toBe(false);
    }
    const allocations = (await cluster.ps()).map(({ name, allocations: n }) => [name, n]);
    expect(allocations).toEqual(NAMES.map((name) => [name, 1]));
  });

  test('one that is in use runs on; the others are suspended, and resumed in their own sandboxes', async () => {
    await held('redis-1', async () => {
      const others = NAMES.filter((name) => name !== 'redis-1');
      const start = Date.now();
      await Promise.all(others.map((name) => redis(name, 'PING')));
      await Promise.all(others.map((name) => since(name, 'suspended', start)));
      expect((await cluster.host('redis-1')).state).toBe('running');
      const { epoch } = await cluster.host('redis-0');
      expect(await redis('redis-0', 'GET', 'me')).toBe('redis-0');
      expect(await runId('redis-0')).toBe(ids.get('redis-0'));
      expect(await cluster.host('redis-0')).toMatchObject({ epoch, allocations: 1 });
      expect((await cluster.host('redis-1')).state).toBe('running');
    });
  });

  test('released, each by itself: a new guest, and nothing of the old one', async () => {
    const rest = ['redis-2', 'redis-3', 'redis-4', 'redis-5'];
    for (const name of rest) await since(name, 'released', 0);
    expect(await redis('redis-2', 'GET', 'me')).toBe('');
    const id = await runId('redis-2');
    expect([...ids.values()]).not.toContain(id);
    ids.set('redis-2', id);
    expect(await cluster.host('redis-2')).toMatchObject({ state: 'running', allocations: 2 });
    expect((await cluster.ps()).filter(({ name }) => rest.includes(name) && name !== 'redis-2')).toEqual(
      rest.slice(1).map((name) => expect.objectContaining({ name, state: 'imagined', allocations: 1 })),
    );
  });

  test('one that is killed is allocated again at the next connect, in a sandbox of its own', async () => {
    for (const name of ['redis-3', 'redis-4']) await redis(name, 'SET', 'me', `${name} again`);
    const other = await runId('redis-4');
    await held('redis-3', async () => {
      const [guest] = having(`POOL_TEST=${MARK}-redis-3`);
      const before = Date.now();
      signal([parentOf(guest)], 'SIGKILL');
      await since('redis-3', 'failed', before - 1);
    });
    expect(await redis('redis-3', 'GET', 'me')).toBe('');
    expect(await cluster.host('redis-3')).toMatchObject({ state: 'running', allocations: 3 });
    expect(await redis('redis-4', 'GET', 'me')).toBe('redis-4 again');
    expect(await runId('redis-4')).toBe(other);
  });

  describe('invoked by hand', () => {
    const invoke = async (host: string, tenant: string | undefined) => {
      const { lambda, keyFile, seed } = readPlatform(cluster.state)!;
      const { epoch } = await cluster.host(host);
      const [key] = parseClusterKeys(readFileSync(keyFile, 'utf8'));
      const invocation: Invocation = {
        ...{ version: 1, cluster: 'pooled', host, pooled: true, epoch: epoch!, action: 'run', seed },
        secret: joinSecret(key, 'pooled', hostIdentity(host, epoch!)),
      };
      const sdk = client(lambda);
      try {
        const Payload = Buffer.from(JSON.stringify(invocation));
        const answer = await sdk.send(new InvokeCommand({ FunctionName: FUNCTION, TenantId: tenant, Payload }));
        return { failed: answer.FunctionError, value: JSON.parse(Buffer.from(answer.Payload!).toString()) };
      } finally {
        sdk.destroy();
      }
    };

    test('twice as one host: no 429 says that it runs, and the second sandbox is refused', async () => {
      expect(await redis('redis-5', 'SET', 'me', 'the first')).toBe('OK');
      const id = await runId('redis-5');
      await held('redis-5', async () => {
        const { epoch } = await cluster.host('redis-5');
        const { failed, value } = await invoke('redis-5', 'redis-5');
        expect(failed).toBeUndefined();
        expect(value).toMatchObject({ host: 'redis-5', epoch, outcome: 'fenced' });
        expect(having(`POOL_TEST=${MARK}-redis-5`)).toHaveLength(1);
      });
      expect(await runId('redis-5')).toBe(id);
    });

    test('as another host than the tenant: refused before anything is done', async () => {
      expect(await redis('redis-5', 'GET', 'me')).toBe('the first');
      const { failed, value } = await invoke('redis-5', 'somebody');
      expect(failed).toBe('Unhandled');
      expect(value).toMatchObject({
        errorType: 'InvocationError',
        errorMessage: expect.stringContaining("'host' is 'redis-5', pooled; allowed: 'somebody', pooled"),
      });
      expect(having(`POOL_TEST=${MARK}-redis-5`)).toHaveLength(1);
    });

    test('without a tenant: Lambda’s own refusal', async () => {
      await redis('redis-5', 'PING');
      await expect(invoke('redis-5', undefined)).rejects.toMatchObject({
        name: 'InvalidParameterValueException',
        message: expect.stringContaining('Add a valid tenant ID in your request and try again.'),
      });
    });
  });

  test('when the cluster is down, nothing is left', async () => {
    await cluster.down();
    await eventually(() => processesOf(FUNCTION).length === 0);
    for (const name of NAMES) expect(having(`POOL_TEST=${MARK}-${name}`)).toEqual([]);
    const folder = join(cluster.state, 'sandboxes');
    expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
  });
});
