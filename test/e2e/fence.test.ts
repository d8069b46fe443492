/**
 * Two live sandboxes of one host on the local platform, which allows that where nothing is reserved, as Lambda does.
 * What the seed and supervisors do about it in every order is in test/runtime/seed/machine/fence.test.ts and
 * test/runtime/supervisor/run/fence.test.ts.
 */
import { readFileSync } from 'node:fs';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { hostIdentity, joinSecret, parseClusterKeys } from '../../src/contract/control/psk';
import type { Invocation } from '../../src/contract/platform/invocation';
import { readPlatform } from '../../src/local';
import { client } from '../local/boot';
import { bootCluster, type TestCluster } from '../support/cluster';
import { mentioning, processesOf } from '../support/processes';

/** In the command line of each guest. */
const MARK = `guest of ${process.pid}`;
/** Says which process it is. */
const WHO = `# ${MARK}
import os, socket
l = socket.create_server(('0.0.0.0', 8080))
while True:
    s, peer = l.accept()
    s.sendall(str(os.getpid()).encode())
    s.close()
`;
const ASK = `
import socket, sys
s = socket.create_connection(('web', 8080), 30)
sys.stdout.write(s.makefile().read())
`;
const python = '/usr/bin/python3';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster([{ name: 'web', command: [python, '-u', '-c', WHO] }], { name: 'fence' });
});
afterAll(() => cluster?.dispose());

/** Which process of the host has answered. */
async function ask(): Promise<string> {
  const run = await cluster.exec([python, '-c', ASK]);
  expect(run).toMatchObject({ code: 0, stderr: '' });
  return run.stdout;
}

test('the invocation of a host that runs is repeated: the second sandbox is fenced, and the first one goes on', async () => {
  const guest = await ask();
  const events = await cluster.events();
  const { detail } = events.find((e) => e.host === 'web' && e.event === 'joined')!;
  const before = processesOf('fence-web');
  const guests = mentioning(MARK);
  expect(before.length * guests.length).toBeGreaterThan(0);
  const { lambda, keyFile, seed } = readPlatform(cluster.state)!;
  const epoch = detail.epoch as number;
  const [key] = parseClusterKeys(readFileSync(keyFile, 'utf8'));
  const invocation: Invocation = {
    ...{ version: 1, cluster: 'fence', host: 'web', epoch, action: 'run', seed },
    secret: joinSecret(key, 'fence', hostIdentity('web', epoch)),
  };
  const sdk = client(lambda);
  try {
    const command = { FunctionName: 'fence-web', Payload: Buffer.from(JSON.stringify(invocation)) };
    const { Payload, FunctionError } = await sdk.send(new InvokeCommand(command));
    expect(FunctionError).toBeUndefined();
    const result = JSON.parse(Buffer.from(Payload!).toString());
    expect(result).toMatchObject({ host: 'web', epoch, outcome: 'fenced' });
  } finally {
    sdk.destroy();
  }
  // The other sandbox is there, without a guest; that of the first is who it was.
  expect(mentioning(MARK)).toEqual(guests);
  expect(processesOf('fence-web').length).toBeGreaterThan(before.length);
  expect(processesOf('fence-web')).toEqual(expect.arrayContaining(before));
  expect(await ask()).toBe(guest);
  expect(await cluster.host('web')).toMatchObject({ state: 'running', allocations: 1 });
});
