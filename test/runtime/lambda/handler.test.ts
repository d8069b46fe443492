/**
 * What comes into a host function: every field is known and is what it should be, or the invocation fails by its name.
 */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Invocation } from '../../../src/contract/platform/invocation';

const runDir = join(tmpdir(), `imaginary-handler-${process.pid}`);
process.env.IMAGINARY_DIR = runDir;
// As it loads, it takes what the variable says.
const { handler } =
  require('../../../src/runtime/lambda/handler') as typeof import('../../../src/runtime/lambda/handler');
afterAll(() => rmSync(runDir, { recursive: true, force: true }));

const whole: Required<Invocation> = {
  ...{ version: 1, cluster: 'test', host: 'api', pooled: true, epoch: 5, oldest: 5, action: 'run' },
  fresh: { epoch: 6, secret: 'of nobody' },
  ...{ seed: '127.0.0.1:1', standby: '127.0.0.1:2', secret: 'of nobody' },
};
const call = (event: unknown, tenantId: string | undefined = 'api') =>
  handler(event, { getRemainingTimeInMillis: () => 1_000, tenantId });
const OPTIONAL = ['pooled', 'oldest', 'fresh', 'standby'];

test('one that is right is done', async () => {
  const { host, epoch } = whole;
  expect(await call({ ...whole, action: 'release', fresh: undefined })).toEqual({ host, epoch, outcome: 'released' });
});

test.each(Object.keys(whole))("without '%s' or with another kind of value in it", async (field) => {
  const { [field as keyof Invocation]: _, ...rest } = whole;
  const problem = new RegExp(`'${field}(\\.epoch)?' is .+; allowed: `);
  if (!OPTIONAL.includes(field)) await expect(call(rest)).rejects.toThrow(problem);
  await expect(call({ ...rest, [field]: {} })).rejects.toThrow(problem);
});

test.each([
  ['a field more', { ...whole, surplus: 1 }, "the field 'surplus' is unknown"],
  [
    'a field more of the fresh epoch',
    { ...whole, fresh: { ...whole.fresh, surplus: 1 } },
    "'fresh.surplus' is unknown",
  ],
  ['no epoch in it', { ...whole, fresh: { secret: 'x' } }, "'fresh.epoch' is undefined; allowed: "],
  ['a field with the name of a method', { ...whole, valueOf: 1 }, "the field 'valueOf' is unknown"],
  ['no object', 'run', 'it is not an object'],
  ['no event', null, 'it is not an object'],
])('%s', async (_what, event, problem) => {
  await expect(call(event)).rejects.toThrow(problem);
});

test('a secret that is none is not shown', async () => {
  for (const fields of [{ secret: ['hidden'] }, { fresh: { epoch: 1, secret: ['hidden'] } }]) {
    const error = await call({ ...whole, ...fields }).catch((thrown: Error) => thrown);
    expect(String(error)).toContain("secret' is object; allowed: ");
    expect(String(error)).not.toContain('hidden');
  }
});

describe('host and tenant', () => {
  const released = { host: 'api', epoch: 5, outcome: 'released' };
  const release = { ...whole, action: 'release', fresh: undefined } as const;
  /** As Lambda calls it where the function has no tenants: a default would stand for an argument that is undefined. */
  const untenanted = (event: unknown) => handler(event, { getRemainingTimeInMillis: () => 1_000 });

  test('agree: both, or none', async () => {
    expect(await call(release, 'api')).toEqual(released);
    for (const pooled of [undefined, false]) expect(await untenanted({ ...release, pooled })).toEqual(released);
  });

  test.each([
    [
      'another tenant',
      true,
      'web',
      "'host' is 'api', pooled; allowed: 'web', pooled, as the sandbox is of tenant 'web'",
    ],
    [
      'a tenant, and no pooled host',
      false,
      'api',
      "'host' is 'api'; allowed: 'api', pooled, as the sandbox is of tenant",
    ],
    ['a tenant, and nothing said', undefined, 'api', "'host' is 'api'; allowed: 'api', pooled, as the sandbox is of"],
    ['another tenant, and no pooled host', false, 'web', "'host' is 'api'; allowed: 'web', pooled, as the sandbox is"],
  ])('do not agree: %s', async (_what, pooled, tenant, problem) => {
    for (const action of ['run', 'release']) {
      await expect(call({ ...release, pooled, action }, tenant)).rejects.toThrow(problem);
    }
  });

  test('do not agree: a pooled host, and no tenant', async () => {
    const problem = "'host' is 'api', pooled; allowed: no pooled host, as the sandbox is of no tenant";
    for (const action of ['run', 'release']) await expect(untenanted({ ...release, action })).rejects.toThrow(problem);
  });
});
