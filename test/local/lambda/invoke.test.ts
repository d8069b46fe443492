import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { eventually } from '../../support/eventually';
import { type Booted, bootFunctions, client, flatNumber, plain } from '../boot';

let booted: Booted;
beforeAll(async () => {
  booted = await bootFunctions(
    [
      plain(),
      plain({ name: 'many', reservedConcurrency: undefined }),
      plain({ name: 'short', timeout: 1_000 }),
      plain({ name: 'small', memorySize: 128 }),
      plain({ name: 'no-export', handler: 'plain.nothing' }),
      plain({ name: 'no-file', handler: 'nothing.handler' }),
      plain({ name: 'module', handler: 'module.handler' }),
      plain({ name: 'callback', handler: 'callback.handler' }),
      plain({ name: 'slow-init', handler: 'slow-init.handler', timeout: 20_000 }),
    ],
    { retryDelays: [20, 40] },
  );
}, 30_000);
afterAll(() => booted?.dispose());

const log = (name = 'plain') => readFileSync(join(booted.platform.info.logDir, `${name}.log`), 'utf8');
const failing = (what: Promise<unknown>) =>
  what.then(
    () => undefined,
    (error) => error,
  );

test('answers, and keeps the sandbox for the next invocation', async () => {
  const first = await booted.call({ do: 'echo', value: 'é\n' });
  const second = await booted.call({ do: 'echo', value: [1] });
  expect(first.value).toBe('é\n');
  expect(second).toEqual({ value: [1], invocations: first.invocations + 1 });
});

test('the headers of an answer, and the end of the log', async () => {
  const { $metadata, ...answer } = (await booted.invoke({ do: 'print', text: 'hello' }, { LogType: 'Tail' })) as any;
  expect(answer).toMatchObject({ StatusCode: 200, ExecutedVersion: '$LATEST' });
  expect($metadata.requestId).toMatch(/^[0-9a-f-]{36}$/);
  const id = $metadata.requestId;
  const tail = Buffer.from(answer.LogResult, 'base64').toString();
  expect(tail).toMatch(
    new RegExp(`^START RequestId: ${id} Version: \\$LATEST\nhello\nEND RequestId: ${id}\nREPORT RequestId: ${id}\t`),
  );
  await eventually(() => log().includes(`REPORT RequestId: ${id}`));
});

test('the environment of a function, and nothing of ours', async () => {
  process.env.OF_THE_PLATFORM = 'secret';
  const { runtimeApi, ...environment } = await booted.call({ do: 'environment' }, 'small');
  expect(environment).toMatchObject({
    AWS_LAMBDA_FUNCTION_NAME: 'small',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '128',
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_REGION: 'us-east-1',
    _HANDLER: 'plain.handler',
    IMAGINARY_FLAT: String(flatNumber(booted.platform)),
  });
  expect(environment).not.toHaveProperty('OF_THE_PLATFORM');
  expect(environment).not.toHaveProperty('TMPDIR');
});

test('the context of an invocation', async () => {
  const ClientContext = Buffer.from(JSON.stringify({ custom: { a: 1 } })).toString('base64');
  const { Payload, $metadata } = (await booted.invoke({ do: 'context' }, { ClientContext })) as any;
  const context = JSON.parse(Payload.transformToString());
  expect(context).toMatchObject({
    functionName: 'plain',
    memoryLimitInMB: '256',
    awsRequestId: $metadata.requestId,
    invokedFunctionArn: expect.stringMatching(/:function:plain$/),
    clientContext: { custom: { a: 1 } },
  });
  expect(context.remaining).toBeGreaterThan(9_000);
  expect(context.remaining).toBeLessThanOrEqual(10_000);
});

test('an exception is a function error with its type, message and trace; the sandbox goes on', async () => {
  const before = await booted.call({ do: 'who' });
  const error = await booted.error({ do: 'fail', message: 'oops' });
  expect(error).toMatchObject({ errorType: 'TypeError', errorMessage: 'oops' });
  expect((error as any).trace[0]).toBe('TypeError: oops');
  expect(await booted.call({ do: 'who' })).toEqual(before);
});

test('an exception that nobody caught ends the sandbox', async () => {
  const { invocations } = await booted.call({ do: 'echo' });
  expect(await booted.error({ do: 'crash' })).toMatchObject({ errorType: 'TypeError' });
  expect(invocations).toBeGreaterThan(0);
  expect((await booted.call({ do: 'echo' })).invocations).toBe(1);
});

test('a runtime that exits, or is killed', async () => {
  expect(await booted.error({ do: 'exit', code: 3 })).toEqual({
    errorType: 'Runtime.ExitError',
    errorMessage: expect.stringMatching(/^RequestId: \S+ Error: Runtime exited with error: exit status 3$/),
  });
  expect((await booted.error({ do: 'exit', code: 0 })).errorMessage).toMatch(
    /Runtime exited without providing a reason$/,
  );
  expect((await booted.error({ do: 'die' })).errorMessage).toMatch(/Runtime exited with error: signal: killed$/);
});

test('a timeout ends the sandbox', async () => {
  const from = Date.now();
  expect(await booted.error({ do: 'hang' }, 'short')).toEqual({
    errorType: 'Sandbox.Timedout',
    errorMessage: expect.stringMatching(/^RequestId: \S+ Error: Task timed out after 1\.00 seconds$/),
  });
  expect(Date.now() - from).toBeGreaterThanOrEqual(1_000);
  expect((await booted.call({ do: 'echo' }, 'short')).invocations).toBe(1);
  await eventually(() => log('short').includes('Task timed out after 1.00 seconds'));
});

test('a handler that cannot be loaded', async () => {
  expect(await booted.error({}, 'no-export')).toMatchObject({ errorType: 'Runtime.HandlerNotFound' });
  expect(await booted.error({}, 'no-file')).toMatchObject({ errorType: 'Runtime.ImportModuleError' });
});

test('handlers of an ES module, and with a callback', async () => {
  expect(await booted.call({ a: 1 }, 'module')).toEqual({ module: { a: 1 } });
  expect(await booted.call({ a: 1 }, 'callback')).toEqual({ callback: { a: 1 } });
});

test('an init that takes more than 10 seconds is done again, in the time of the function', async () => {
  expect(await booted.call({}, 'slow-init')).toBe('late');
  await eventually(() => /INIT_REPORT .*timeout/.test(log('slow-init')));
}, 40_000);

test('429 when reserved concurrency is used up; unreserved functions get another sandbox', async () => {
  const busy = booted.call({ do: 'wait', ms: 500 }, 'plain');
  await eventually(() => log().split('START').length > log().split('END').length);
  const error = await failing(booted.call({ do: 'echo' }));
  expect(error).toMatchObject({
    name: 'TooManyRequestsException',
    Reason: 'ReservedFunctionConcurrentInvocationLimitExceeded',
    message: 'Rate Exceeded.',
  });
  expect(error.$metadata.httpStatusCode).toBe(429);
  await busy;
  const both = await Promise.all([1, 2].map(() => booted.call({ do: 'wait', ms: 300 }, 'many')));
  expect(new Set(both.map((b) => b.started)).size).toBe(2);
});

describe('what is refused', () => {
  test('an unknown function, or version', async () => {
    const error = await failing(booted.call({}, 'nobody'));
    expect(error).toMatchObject({
      name: 'ResourceNotFoundException',
      message: expect.stringContaining('function:nobody'),
    });
    expect(await failing(booted.invoke({}, { Qualifier: '7' }) as any)).toMatchObject({
      name: 'ResourceNotFoundException',
    });
    expect(
      await booted.call({ do: 'echo', value: 1 }, 'arn:aws:lambda:us-east-1:123456789012:function:plain:$LATEST'),
    ).toMatchObject({ value: 1 });
  });

  test('a payload that is no JSON', async () => {
    const error = await failing(
      booted.lambda.send(new InvokeCommand({ FunctionName: 'plain', Payload: Buffer.from('{no') })),
    );
    expect(error).toMatchObject({ name: 'InvalidRequestContentException' });
    expect(error.$metadata.httpStatusCode).toBe(400);
  });

  test('requests and answers beyond 6 MB, events beyond 1 MB', async () => {
    const fits = await booted.call({ do: 'length', value: 'x'.repeat(6 * 1024 * 1024 - 100) });
    expect(fits).toBe(6 * 1024 * 1024 - 100);
    const error = await failing(booted.call({ do: 'length', value: 'x'.repeat(6 * 1024 * 1024) }));
    expect(error).toMatchObject({ name: 'RequestEntityTooLargeException' });
    expect(error.$metadata.httpStatusCode).toBe(413);
    const event = await failing(booted.invoke({ value: 'x'.repeat(1024 * 1024) }, { InvocationType: 'Event' }) as any);
    expect(event.message).toMatch(/payload is too large for the Event invocation type \(limit 1048576 bytes\)/);
    expect(await booted.error({ do: 'large', bytes: 6 * 1024 * 1024 + 100 })).toEqual({
      errorType: 'Function.ResponseSizeTooLarge',
      errorMessage: 'Response payload size exceeded maximum allowed payload size (6291556 bytes).',
    });
    expect(await booted.call({ do: 'large', bytes: 6 * 1024 * 1024 + 98 })).toHaveLength(6 * 1024 * 1024 + 98);
  });

  test('callers without the right credentials', async () => {
    const { lambda } = booted.platform.info;
    const send = (given: Partial<typeof lambda>) => {
      const other = client({ ...lambda, ...given });
      return failing(other.send(new InvokeCommand({ FunctionName: 'plain' }))).finally(() => other.destroy());
    };
    expect(await send({ accessKeyId: 'AKIDOTHER' })).toMatchObject({ name: 'UnrecognizedClientException' });
    expect(await send({ secretAccessKey: 'wrong' })).toMatchObject({ name: 'InvalidSignatureException' });
    const unsigned = await fetch(`${lambda.url}/2015-03-31/functions/plain/invocations`, {
      method: 'POST',
      body: '{}',
    });
    expect(unsigned.status).toBe(403);
  });
});

describe('Event', () => {
  const markers = (): string[] => log('small').match(/marker \S+/g) ?? [];

  test('is accepted at once and run later', async () => {
    const answer = (await booted.invoke(
      { do: 'print', text: 'marker once' },
      { FunctionName: 'small', InvocationType: 'Event' },
    )) as any;
    expect(answer.StatusCode).toBe(202);
    await eventually(() => markers().includes('marker once'));
  });

  test('is tried three times in all when the function fails', async () => {
    await booted.invoke({ do: 'fail', message: 'marker again' }, { FunctionName: 'small', InvocationType: 'Event' });
    const reports = () => log('small').split('Error: marker again').length - 1;
    await eventually(() => reports() === 3);
    // In order of arrival: when this one has run, a fourth try of the other would have.
    await booted.invoke({ do: 'print', text: 'marker later' }, { FunctionName: 'small', InvocationType: 'Event' });
    await eventually(() => markers().includes('marker later'));
    expect(reports()).toBe(3);
  });

  test('waits for room instead of a 429', async () => {
    const events = ['marker a', 'marker b', 'marker c'].map((text) =>
      booted.invoke({ do: 'print', text }, { FunctionName: 'small', InvocationType: 'Event' }),
    );
    expect((await Promise.all(events)).map((e: any) => e.StatusCode)).toEqual([202, 202, 202]);
    await eventually(() => ['marker a', 'marker b', 'marker c'].every((m) => markers().includes(m)), 15_000);
  }, 20_000);
});

test('DryRun starts nothing', async () => {
  const before = log().length;
  expect(((await booted.invoke({}, { InvocationType: 'DryRun' })) as any).StatusCode).toBe(204);
  expect(log().length).toBe(before);
});
