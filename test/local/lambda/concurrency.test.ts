/** The account's concurrency, which functions share; and events that Lambda's queue delivers twice. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../support/eventually';
import { type Booted, bootFunctions, plain } from '../boot';

const shared = (name: string) => plain({ name, reservedConcurrency: undefined });

let booted: Booted;
beforeAll(async () => {
  // Of three, `own` has one for itself: two are left for the others.
  booted = await bootFunctions([shared('a'), shared('b'), plain({ name: 'own' })], {
    concurrency: 3,
    duplicateEvents: true,
  });
}, 30_000);
afterAll(() => booted?.dispose());

const wait = (name: string, ms: number) => booted.call({ do: 'wait', ms }, name);
const log = (name: string) => readFileSync(join(booted.platform.info.logDir, `${name}.log`), 'utf8');
const refusal = (what: Promise<unknown>) =>
  what.then(
    () => undefined,
    ({ name, Reason, $metadata }) => ({ name, Reason, status: $metadata.httpStatusCode }),
  );
const throttled = (Reason: string) => ({ name: 'TooManyRequestsException', Reason, status: 429 });

test('what all functions run together is limited, and what one of them reserves is its own', async () => {
  const open = [wait('a', 1_000), wait('b', 1_000)];
  await eventually(() => ['a', 'b'].every((name) => log(name).includes('START RequestId')));
  for (const name of ['a', 'b']) {
    expect(await refusal(wait(name, 0))).toEqual(throttled('ConcurrentInvocationLimitExceeded'));
  }
  const own = wait('own', 500);
  await eventually(() => log('own').includes('START RequestId'));
  expect(await refusal(wait('own', 0))).toEqual(throttled('ReservedFunctionConcurrentInvocationLimitExceeded'));
  await Promise.all([...open, own]);
  // Refusals have taken nothing, and what has ended has given back.
  await Promise.all([wait('a', 0), wait('b', 0), wait('own', 0)]);
});

test('an event is delivered twice at the same time, with the same id', async () => {
  const { $metadata } = (await booted.invoke(
    { do: 'wait', ms: 500 },
    { FunctionName: 'a', InvocationType: 'Event' },
  )) as any;
  const ends = () => log('a').split(`END RequestId: ${$metadata.requestId}`).length - 1;
  await eventually(() => ends() === 2);
  expect(log('a').split(`START RequestId: ${$metadata.requestId}`)).toHaveLength(3);
});
