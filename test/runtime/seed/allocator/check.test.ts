/** What may not be sent any more is not sent: the check is the last thing before a request. */
import type { Invocation } from '../../../../src/contract/platform/invocation';
import { lambdaInvoker } from '../../../../src/runtime/seed/allocator/lambda';
import { type LambdaApi, lambdaApi } from './lambda-api';

const invocation: Invocation = {
  ...{ version: 1, cluster: 'test', host: 'api', epoch: 5, action: 'run', seed: '127.0.0.1:1', secret: 'x' },
};

let lambda: LambdaApi;
beforeAll(async () => {
  lambda = await lambdaApi();
  lambda.functions.set('test-api', async ({ host, epoch }) => ({ host, epoch, outcome: 'released' }));
});
afterAll(() => lambda.close());

test('each request is checked, and one that may not be sent is not', async () => {
  let checks = 0;
  let allowed = true;
  const check = () => {
    checks += 1;
    if (!allowed) throw new Error('not any more');
  };
  const invoke = await lambdaInvoker({ region: 'us-east-1', endpoint: lambda.endpoint, check });
  const { signal } = new AbortController();
  const before = checks;
  expect(await invoke('test-api', invocation, signal)).toMatchObject({ kind: 'result' });
  expect(checks).toBe(before + 1);
  allowed = false;
  expect(await invoke('test-api', invocation, signal)).toMatchObject({ kind: 'broken', message: 'not any more' });
  expect(lambda.requests).toHaveLength(1);
});

test('what is found out while a request is being signed is in time', async () => {
  let allowed = true;
  const check = () => {
    if (!allowed) throw new Error('not any more');
  };
  const invoke = await lambdaInvoker({ region: 'us-east-1', endpoint: lambda.endpoint, check });
  const sent = lambda.requests.length;
  const outcome = invoke('test-api', invocation, new AbortController().signal);
  // It is on its way, and not signed yet.
  allowed = false;
  expect(await outcome).toMatchObject({ kind: 'broken' });
  expect(lambda.requests).toHaveLength(sent);
});
