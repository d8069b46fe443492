/** Function errors: a host's function fails, because its supervisor crashes, hangs or is invoked with what is no invocation. */
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { readPlatform } from '../../../src/local';
import { client } from '../../local/boot';
import { attempt } from '../../support/attempt';
import { bootCluster, type TestCluster } from '../../support/cluster';
import { echo } from '../../support/dial';
import { guestFiles } from '../../support/guests';
import { openLine } from '../../support/line';
import { mentioning, processesOf } from '../../support/processes';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      echo('crashes'),
      // Two seconds until it listens.
      { name: 'starting', command: [...echo('').command, '2'] },
      // It would be renewed in time, if its supervisor could.
      { ...echo('hangs'), timeout: 8_000 },
      echo('asked'),
    ],
    { name: 'error', files: guestFiles('echo.py', 'hold.py') },
  );
});
afterAll(() => cluster?.dispose());

const supervisorOf = (host: string): number => {
  const clients = mentioning('bootstrap.js');
  const [pid] = processesOf(`error-${host}`).filter((one) => clients.includes(one));
  if (!pid) throw new Error(`'${host}' has no supervisor`);
  return pid;
};
const failed = (host: string) => cluster.waitFor((e) => e.host === host && e.event === 'failed');

test('a supervisor that crashes: open connections are reset, and the next connect allocates the host at once', async () => {
  const { say } = await openLine(cluster, 'crashes', '7000');
  expect(await say('before')).toBe('before');
  process.kill(supervisorOf('crashes'), 'SIGKILL');
  const { detail } = await failed('crashes');
  expect(detail).toMatchObject({ error: 'Runtime.ExitError', backOffMs: 0 });
  expect(detail.reason).toMatch(/Runtime exited with error: signal: killed/);
  expect(await say('after')).toMatch(/^end$|ConnectionResetError|BrokenPipeError/);
  expect(await attempt(cluster, 'crashes')).toMatchObject({ outcome: 'ok' });
  expect(await cluster.host('crashes')).toMatchObject({ state: 'running', allocations: 2 });
});

test('one that crashes before its guest listens: the connect goes on waiting, and goes through', async () => {
  const connecting = attempt(cluster, 'starting');
  await cluster.waitFor((e) => e.host === 'starting' && e.event === 'guest-started');
  process.kill(supervisorOf('starting'), 'SIGKILL');
  expect((await failed('starting')).detail).toMatchObject({ error: 'Runtime.ExitError', backOffMs: 0 });
  expect(await connecting).toMatchObject({ outcome: 'ok' });
  expect(await cluster.host('starting')).toMatchObject({ state: 'running', allocations: 2 });
});

test('one that hangs: the function times out, and connects that have waited go through', async () => {
  expect(await attempt(cluster, 'hangs')).toMatchObject({ outcome: 'ok' });
  process.kill(supervisorOf('hangs'), 'SIGSTOP');
  const connecting = attempt(cluster, 'hangs');
  const { detail } = await failed('hangs');
  expect(detail).toMatchObject({ error: 'Sandbox.Timedout', backOffMs: 0 });
  expect(detail.reason).toMatch(/Task timed out after 8\.00 seconds/);
  expect(await connecting).toMatchObject({ outcome: 'ok' });
  expect(await cluster.host('hangs')).toMatchObject({ state: 'running', allocations: 2 });
});

test('an invocation that is none throws in the handler: its caller gets the error, and the host goes on', async () => {
  const { say } = await openLine(cluster, 'asked', '7000');
  expect(await say('before')).toBe('before');
  const sdk = client(readPlatform(cluster.state)!.lambda);
  try {
    const Payload = Buffer.from(JSON.stringify({ host: 'asked' }));
    const answer = await sdk.send(new InvokeCommand({ FunctionName: 'error-asked', Payload }));
    expect(answer.FunctionError).toBe('Unhandled');
    expect(JSON.parse(Buffer.from(answer.Payload!).toString())).toMatchObject({ errorType: expect.any(String) });
  } finally {
    sdk.destroy();
  }
  expect(await say('after')).toBe('after');
  expect(await cluster.host('asked')).toMatchObject({ state: 'running', allocations: 1 });
});
