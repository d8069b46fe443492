/**
 * Several sandboxes of one host, as a platform without reserved concurrency may run them: the real seed, real
 * supervisors, real guests. What the seed alone decides is in test/runtime/seed/machine/fence.test.ts.
 */
import { connect } from 'node:net';
import { aliasAddress } from '../../../../src/contract/abi/table';
import { assignAddresses, formatAddress, parseCidr } from '../../../../src/contract/manifest';
import type { Invocation, InvocationResult } from '../../../../src/contract/platform/invocation';
import { family, signal } from '../../../support/processes';
import { bootCluster, type Cluster } from '../../seed/cluster';
import { layersFolder, openSandbox, type Sandbox } from '../sandbox';

jest.setTimeout(60_000);

/** Says how often it was asked: what a fresh guest says is 1. */
const COUNTER = `
import socket
l = socket.create_server(('0.0.0.0', 8080))
n = 0
while True:
    s, peer = l.accept()
    n += 1
    s.sendall(str(n).encode())
    s.close()
`;
const command = ['/usr/bin/python3', '-c', COUNTER];

let layers: ReturnType<typeof layersFolder>;
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());

let cluster: Cluster;
const sandboxes: Sandbox[] = [];
afterEach(async () => {
  for (const sandbox of sandboxes.splice(0)) sandbox.close();
  await cluster.close();
});

/** Each with its own addresses, so that guests of two sandboxes can have one port. */
async function sandbox(): Promise<Sandbox> {
  const opened = await openSandbox({ layers: layers.path, flat: 90 + 2 * sandboxes.length });
  sandboxes.push(opened);
  return opened;
}

const WEB = assignAddresses(parseCidr('100.64.0.0/16')!, [{ name: 'web' }]).get('web')!;
/** The seed cannot tell where each of them is: it computes one address for a host. */
const addressOf = (sandbox: Sandbox) => formatAddress(aliasAddress(90 + 2 * sandboxes.indexOf(sandbox), WEB));

function ask(sandbox: Sandbox, port: number): Promise<string> {
  const address = addressOf(sandbox);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, address);
    socket.on('data', (chunk) => (text += chunk));
    socket.on('error', reject).on('close', () => resolve(text));
  });
}

const boot = (entry: object = {}, options: Parameters<typeof bootCluster>[1] = {}) =>
  bootCluster([{ name: 'web', command, workingDirectory: '/', ...entry }], options, { reserved: false });
const alone = ({ pid }: Sandbox) => expect(family(pid)).toEqual([pid]);

test('an invocation that is delivered twice: one sandbox is the host, the other one is fenced before it starts a guest', async () => {
  cluster = await boot();
  const [one, two] = [await sandbox(), await sandbox()];
  const results: Array<Promise<InvocationResult>> = [];
  cluster.host('web', (invocation) => {
    results.push(one.invoke(invocation), two.invoke(invocation));
    return Promise.any(results.map((ending) => ending.then((r) => (r.outcome === 'fenced' ? Promise.reject() : r))));
  });
  const client = await cluster.client();
  const before = await client.locate('web', 8080);
  expect(await Promise.race(results)).toMatchObject({ outcome: 'fenced', epoch: before.location.epoch });
  const [[winner], [loser]] = [one, two].reduce<[Sandbox[], Sandbox[]]>(
    ([w, l], s) => (family(s.pid).length > 1 ? [[...w, s], l] : [w, [...l, s]]),
    [[], []],
  );
  alone(loser);
  expect(await ask(winner, before.realPort)).toBe('1');
  expect(family(winner.pid).length).toBeGreaterThan(1);
  // Once more, into a sandbox that has been used: it is the same.
  expect(await loser.invoke(cluster.lambda.requests[0].invocation)).toMatchObject({ outcome: 'fenced' });
  const after = await client.locate('web', 8080);
  expect(after.location).toEqual(before.location);
  expect(await ask(winner, after.realPort)).toBe('2');
});

test('a zombie thaws after its successor has run: it is fenced, its guests end, and the successor goes on', async () => {
  cluster = await boot();
  const [zombie, successor] = [await sandbox(), await sandbox()];
  const waiting = [zombie, successor];
  const results: Array<Promise<InvocationResult>> = [];
  let timeOut: (error: Error) => void = () => undefined;
  cluster.host('web', (invocation) => {
    results.push(waiting.shift()!.invoke(invocation));
    return Promise.race([results.at(-1)!, new Promise<never>((_, reject) => (timeOut = reject))]);
  });
  const client = await cluster.client();
  const before = await client.locate('web', 8080);
  expect(await ask(zombie, before.realPort)).toBe('1');
  signal(family(zombie.pid), 'SIGSTOP');
  timeOut(new Error('Task timed out after 900.00 seconds'));
  await cluster.event('web', 'failed');
  expect(client.told.at(-1)).toMatchObject({ state: 'imagined', epoch: before.location.epoch });
  const after = await client.locate('web', 8080);
  expect(after.location.epoch).toBeGreaterThan(before.location.epoch);
  expect(await ask(successor, after.realPort)).toBe('1');

  const told = client.told.length;
  signal(family(zombie.pid), 'SIGCONT');
  expect(await results[0]).toMatchObject({ outcome: 'fenced', epoch: before.location.epoch });
  alone(zombie);
  expect(client.told).toHaveLength(told);
  const still = await client.locate('web', 8080);
  expect(still.location).toEqual(after.location);
  expect(await ask(successor, still.realPort)).toBe('2');
});

test('a frozen sandbox is woken for a later epoch: guests from before its successor ran do not come back', async () => {
  cluster = await boot({ idleTimeout: 150, releaseTimeout: 60_000 });
  const [older, newer] = [await sandbox(), await sandbox()];
  const waiting = [older, newer, older];
  cluster.host('web', (invocation) => waiting.shift()!.invoke(invocation));
  const client = await cluster.client();
  const first = await client.locate('web', 8080);
  expect(await ask(older, first.realPort)).toBe('1');
  await cluster.event('web', 'suspended');
  // The platform gives the other sandbox; then it wakes the first one.
  const second = await client.locate('web', 8080);
  const { epoch } = second.location;
  expect(epoch).toBeGreaterThan(first.location.epoch);
  expect(await ask(newer, second.realPort)).toBe('1');
  const suspensions = () => cluster.events.filter(({ event }) => event === 'suspended');
  await cluster.event('web', 'suspended', (event) => event !== suspensions()[0]);
  let woken: Invocation | undefined;
  waiting.push(older);
  cluster.host('web', (invocation) => {
    woken = invocation;
    return waiting.shift()!.invoke(invocation);
  });
  const third = await client.locate('web', 8080);
  expect(third.location.epoch).toBeGreaterThan(epoch);
  expect(woken!).toMatchObject({ epoch, oldest: epoch, fresh: { epoch: third.location.epoch } });
  expect(await ask(older, third.realPort)).toBe('1');
  // The one in between is woken last, for an epoch of its own: what it holds is older, too.
  const late = Date.now() + 60_000;
  const secret = cluster.access(`host/web/${late}`).secret.toString('base64');
  const last = newer.invoke({ ...woken!, epoch: late, fresh: undefined, oldest: late, secret });
  await newer.logged(
    ({ message }) => message === `guests of epoch ${epoch} are ended: a newer epoch has run elsewhere since`,
  );
  await cluster.event('web', 'running', ({ detail }) => detail.epoch === late);
  const fourth = await client.locate('web', 8080);
  expect(await ask(newer, fourth.realPort)).toBe('1');
  await cluster.seed.stop({ down: true });
  expect((await last).epoch).toBe(late);
});
