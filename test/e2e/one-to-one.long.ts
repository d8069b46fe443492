/**
 * An instance behind a one-to-one NAT: the seed knocks at it, again when its address changes, and not only because the seed
 * does. A firewall that lets in the seed alone is found out by who connects.
 */
import { join } from 'node:path';
import { eventually } from '../support/eventually';
import { python } from '../support/guests';
import { Instances, is } from '../support/instances';
import { networkOf, type TestNetwork } from '../support/network';
import { beginning, mentioning } from '../support/processes';

const SEED = '198.18.0.2';
const SEED_ONLY =
  'table ip firewall { chain input { type filter hook input priority 0;' +
  ` iifname != lo ip saddr != ${SEED} tcp flags & (syn | ack) == syn ct state new drop; }; }`;
/** Answers PING, and has something to report when it is told to. */
const GUEST = `
import signal, socket
more = []
signal.signal(signal.SIGUSR1, lambda *_: more.append(socket.create_server(("0.0.0.0", 7001))))
with socket.create_server(("0.0.0.0", 6379)) as server:
    while True:
        with server.accept()[0] as sock:
            while sock.recv(6): sock.sendall(b"+PONG\\r\\n")
`;
/** Three connections, each after the one before has had its answer. */
const PINGS = `
import socket
for _ in range(3):
    with socket.create_connection(("db", 6379)) as sock:
        sock.sendall(b"PING\\r\\n")
        assert sock.recv(7) == b"+PONG\\r\\n"
`;

let instances: Instances;
let network: TestNetwork;
beforeAll(async () => {
  instances = await Instances.boot('one-to-one', ['--network', 'nat', '--nat', 'db=one-to-one']);
  network = networkOf(instances.cluster.state);
  instances.start('--name', 'db', '--', python, '-c', GUEST);
  await instances.cluster.waitFor(is('db', 'listening'));
});
afterAll(async () => {
  await instances?.end();
  await instances?.cluster.dispose();
});

const processOf = (program: string, what: string) => {
  const [pid, ...more] = beginning(program).filter((pid) => mentioning(what).includes(pid));
  if (pid === undefined || more.length > 0) throw new Error(`processes of ${what}: ${[pid, ...more]}`);
  return pid;
};

/** The events of the seed that serves now. */
async function events() {
  const all = await instances.cluster.events();
  return all.slice(all.map(({ event }) => event).lastIndexOf('seed-started'));
}

/** What the host has reported to it so far. */
async function reports(): Promise<string[]> {
  return (await events()).filter(is('db', 'reachable')).map(({ detail }) => `${detail.nat} ${detail.address}`);
}

/** Resolves when it has reported that it is open at its address of now. */
async function isOpen(): Promise<string> {
  const { publicAddress } = await network.faults.where('db');
  await eventually(async () => (await reports()).includes(`one-to-one ${publicAddress}`), 30_000);
  return publicAddress;
}

/** How a client's connections came. */
async function transports(): Promise<unknown[]> {
  const before = (await events()).length;
  const { code, stderr } = await instances.cluster.exec([python, '-c', PINGS]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const since = (await events()).slice(before);
  return since.filter(is('db', 'transport-chosen')).map(({ detail }) => detail.by);
}

test('the seed has knocked at it: others connect to it', async () => {
  const address = await isOpen();
  expect(await reports()).toEqual([`port-preserving ${address}`, `one-to-one ${address}`]);
  expect(await transports()).toEqual(['direct']);
});

test('the seed is another one: it is as open as before', async () => {
  const [{ time: before }] = await events();
  process.kill(processOf(process.execPath, join(instances.cluster.state, 'manifest.json')), 'SIGKILL');
  await eventually(async () => (await events().catch(() => []))[0]?.time > before, 30_000);
  const address = await isOpen();
  expect(await reports()).toEqual([`one-to-one ${address}`]);
  // Of a client with the name of an earlier one, only another way would be reported.
  expect((await transports()).filter((by) => by !== 'direct')).toEqual([]);
});

test('another address, and a firewall that lets in the seed alone: the first connect finds that out', async () => {
  expect(await network.run('db', ['nft', SEED_ONLY])).toMatchObject({ code: 0 });
  const moved = await network.faults.move('db');
  // Who sends nothing does not notice.
  process.kill(processOf(python, 'more.append'), 'SIGUSR1');
  const address = await isOpen();
  expect(address).toBe(moved);
  expect((await reports()).slice(-2)).toEqual([`port-preserving ${address}`, `one-to-one ${address}`]);
  // Once, and the connections after it are made in the other way.
  expect(await transports()).toEqual(['direct', 'punched']);
});
