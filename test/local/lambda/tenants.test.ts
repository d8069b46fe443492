/** Functions with tenant isolation: who is refused, which sandbox serves whom, and what is said of a tenant. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseManifest } from '../../../src/contract/manifest';
import { lambdaInvoker } from '../../../src/runtime/seed/allocator/lambda';
import { eventually } from '../../support/eventually';
import { type Booted, bootFunctions, plain } from '../boot';

const isolated = (name: string, more: object = {}) =>
  plain({ ...{ name, tenantIsolation: true, reservedConcurrency: undefined, timeout: 20_000 }, ...more });
const FUNCTIONS = [
  plain({ reservedConcurrency: undefined }),
  isolated('pool'),
  isolated('small', { reservedConcurrency: 2 }),
];
const host = (name: string) => ({ name, functionName: 'pool', pooled: true, command: ['guest'] });
const manifest = parseManifest({ version: 1, cluster: { name: 'unit' }, hosts: [host('worker-0'), host('worker-1')] });

let booted: Booted;
beforeAll(async () => {
  const application = { source: 'test', manifest, functions: FUNCTIONS };
  booted = await bootFunctions(FUNCTIONS, { application, retryDelays: [20, 40] });
}, 30_000);
afterAll(() => booted?.dispose());

const invoke = async (FunctionName: string, TenantId: string | undefined, event: object, more: object = {}) =>
  (await booted.invoke(event, { FunctionName, TenantId, ...more })) as any;
const value = async (answer: Promise<any>) => {
  const { FunctionError, Payload } = await answer;
  const text = Payload.transformToString();
  if (FunctionError) throw new Error(text);
  return JSON.parse(text);
};
/** Which sandbox has served it. */
const sandbox = async (name: string, tenant: string, ms = 0): Promise<string> =>
  (await value(invoke(name, tenant, { do: 'wait', ms }))).started;
const refusal = async (answer: Promise<unknown>) => {
  const error = await answer.then(
    () => undefined,
    (thrown) => thrown,
  );
  return { name: error?.name, status: error?.$metadata.httpStatusCode, message: error?.message, reason: error?.Reason };
};
/** A host that was not allocated has none. */
const log = (name: string) => {
  const file = join(booted.platform.info.logDir, `${name}.log`);
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
};

const TYPES = ['RequestResponse', 'Event', 'DryRun'] as const;

describe.each(TYPES)('%s', (InvocationType) => {
  test.each([undefined, ''])('without a tenant (%j), a function with tenants is not invoked', async (tenant) => {
    expect(await refusal(invoke('pool', tenant, { do: 'echo' }, { InvocationType }))).toMatchObject({
      name: 'InvalidParameterValueException',
      status: 400,
      message:
        'The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.',
    });
  });

  test('with a tenant, a function without tenants is not invoked', async () => {
    expect(await refusal(invoke('plain', 'blue', { do: 'echo' }, { InvocationType }))).toMatchObject({
      name: 'InvalidParameterValueException',
      status: 400,
      message: expect.stringContaining('not enabled with tenancy configuration'),
    });
  });

  test('with a tenant, a function that there is not', async () => {
    const { name } = await refusal(invoke('nothing', 'blue', {}, { InvocationType }));
    expect(name).toBe('ResourceNotFoundException');
  });
});

test.each(['a', 'A-z 0.9_:/=+@', 'x'.repeat(256)])('a tenant id: %s', async (tenant) => {
  expect((await value(invoke('pool', tenant, { do: 'context' }))).tenantId).toBe(tenant);
});

test.each([
  ['a,b', 'satisfy regular expression pattern: [a-zA-Z0-9._:/=+\\-@ ]+'],
  ['a*', 'satisfy regular expression pattern'],
  ['x'.repeat(257), 'have length less than or equal to 256'],
])('no tenant id: %s', async (tenant, rule) => {
  expect(await refusal(invoke('pool', tenant, { do: 'echo' }))).toMatchObject({
    name: 'ValidationException',
    status: 400,
    message: expect.stringContaining(`at 'tenantId' failed to satisfy constraint: Member must ${rule}`),
  });
});

test('the context of a function without tenants has none', async () => {
  expect(await booted.call({ do: 'context' })).not.toHaveProperty('tenantId');
});

test('a tenant gets its own sandbox again, and never that of another', async () => {
  const tenants = ['t0', 't1', 't2', 't3'];
  const of = new Map(tenants.map((tenant) => [tenant, new Set<string>()]));
  // Whatever comes next to whatever: each after each.
  for (const first of tenants)
    for (const second of tenants)
      for (const tenant of [first, second]) of.get(tenant)!.add(await sandbox('pool', tenant));
  expect([...of.values()].map(({ size }) => size)).toEqual([1, 1, 1, 1]);
  expect(new Set([...of.values()].flatMap((ids) => [...ids])).size).toBe(4);
});

test('all at once, too; and nothing limits how often one tenant runs', async () => {
  const tenants = ['u0', 'u1', 'u2', 'u0', 'u1', 'u2'];
  const ids = await Promise.all(tenants.map((tenant) => sandbox('pool', tenant, 1_000)));
  expect(new Set(ids).size).toBe(6);
  // Both of a tenant's are there for it, and only for it.
  for (const [i, tenant] of tenants.entries()) {
    const own = ids.filter((_, j) => tenants[j] === tenant);
    expect(own).toContain(await sandbox('pool', tenant));
    expect(own).toContain(ids[i]);
  }
});

test('files and memory of a tenant are its own', async () => {
  expect(await value(invoke('pool', 'f0', { do: 'write', path: '/tmp/state' }))).toBe('ok');
  for (const [tenant, there] of Object.entries({ f0: true, f1: false }))
    expect(await value(invoke('pool', tenant, { do: 'exists', path: '/tmp/state' }))).toBe(there);
});

test('a tenant whose sandbox has ended gets a new one; another one’s goes on', async () => {
  const before = [await sandbox('pool', 'd0'), await sandbox('pool', 'd1')];
  expect((await invoke('pool', 'd0', { do: 'die' })).FunctionError).toBe('Unhandled');
  expect(await sandbox('pool', 'd0')).not.toBe(before[0]);
  expect(await sandbox('pool', 'd1')).toBe(before[1]);
});

test('an Event is the tenant’s, also when it is repeated', async () => {
  await invoke('pool', 'worker-1', { do: 'crash' }, { InvocationType: 'Event' });
  const ends = () => log('worker-1').match(/END RequestId/g)?.length ?? 0;
  await eventually(() => ends() === 3);
});

describe('the seed', () => {
  const invocation = {
    version: 1,
    cluster: 'unit',
    epoch: 1,
    action: 'run',
    seed: '127.0.0.1:1',
    secret: 'x',
  } as const;
  const KEYS = { AWS_ACCESS_KEY_ID: 'accessKeyId', AWS_SECRET_ACCESS_KEY: 'secretAccessKey' } as const;
  const before = Object.keys(KEYS).map((name) => [name, process.env[name]] as const);
  beforeAll(() => {
    for (const [name, field] of Object.entries(KEYS)) process.env[name] = booted.platform.info.lambda[field];
  });
  afterAll(() => {
    for (const [name, was] of before) {
      if (was === undefined) delete process.env[name];
      else process.env[name] = was;
    }
  });
  const ask = async (name: string, pooled: boolean | undefined) => {
    const { url, region } = booted.platform.info.lambda;
    const invokeHost = await lambdaInvoker({ region, endpoint: url });
    return invokeHost(name, { ...invocation, host: 'worker-0', pooled }, new AbortController().signal);
  };

  test('invokes a pooled host as the tenant of its name', async () => {
    const before = (log('worker-0').match(/START/g) ?? []).length;
    // What runs there is no host's handler.
    expect(await ask('pool', true)).toMatchObject({ kind: 'function-error', error: 'TypeError' });
    await eventually(() => (log('worker-0').match(/START/g) ?? []).length === before + 1);
  });

  test.each([
    ['pool', undefined, 'Add a valid tenant ID'],
    ['plain', true, 'Remove the tenant ID'],
  ] as const)('is told where function and manifest do not agree: %s, pooled: %s', async (name, pooled, message) => {
    const code = 'InvalidParameterValueException';
    expect(await ask(name, pooled)).toEqual({ kind: 'denied', code, message: expect.stringContaining(message) });
  });
});

describe('logs', () => {
  test('of a host are the host’s, with the lines of the platform', async () => {
    await invoke('pool', 'worker-0', { do: 'print', text: 'hello of worker-0' });
    const tail = await invoke('pool', 'worker-1', { do: 'print', text: 'hello of worker-1' }, { LogType: 'Tail' });
    await eventually(() => log('worker-1').includes('hello of worker-1\n') && /REPORT/.test(log('worker-0')));
    expect(log('worker-0')).toMatch(/START RequestId: \S+ Version: \$LATEST\nhello of worker-0\n.*END RequestId/);
    expect(log('worker-0') + log('pool')).not.toContain('hello of worker-1');
    const text = Buffer.from(tail.LogResult, 'base64').toString();
    expect(text).toMatch(/^START .*\nhello of worker-1\nEND /);
  });

  test('of a tenant that is no host are the function’s, whatever its name is', async () => {
    await invoke('pool', '../worker-0', { do: 'print', text: 'hello of nobody' });
    await eventually(() => log('pool').includes('hello of nobody'));
    expect(log('worker-0')).not.toContain('hello of nobody');
  });
});

describe('limits', () => {
  let whole: Booted;
  beforeAll(async () => {
    whole = booted;
    booted = await bootFunctions(FUNCTIONS, { recycleAfter: 4_000 });
  }, 30_000);
  afterAll(async () => {
    await booted.dispose();
    booted = whole;
  });
  const refused = (tenant: string) => refusal(invoke('small', tenant, { do: 'echo' }));

  test('concurrency is the function’s, not a tenant’s; what is idle is no way around it', async () => {
    await sandbox('small', 'c');
    const busy = ['a', 'b'].map((tenant) => sandbox('small', tenant, 1_000));
    await eventually(async () => (await refused('c')).status === 429);
    expect(await refused('c')).toEqual({
      ...{ name: 'TooManyRequestsException', status: 429, message: 'Rate Exceeded.' },
      reason: 'ReservedFunctionConcurrentInvocationLimitExceeded',
    });
    expect(new Set(await Promise.all(busy)).size).toBe(2);
    await sandbox('small', 'c');
  });

  test('2.5 sandboxes for each invocation at once, busy or idle; an idle one is ended in the end', async () => {
    // Three are there.
    for (const tenant of ['d', 'e']) await sandbox('small', tenant);
    expect(await refused('f')).toMatchObject({ name: 'TooManyRequestsException', status: 429 });
    // A tenant that has one is served.
    await sandbox('small', 'e');
    await eventually(async () => (await refused('f')).status === undefined);
  });
});
