/** Knocks of a real seed, at a member that waits for them, and at what else is at its address. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { NatReport } from '../../../../src/contract/peer/peer-messages';
import type { Session, SessionOptions } from '../../../../src/runtime/control/index';
import { hearKnock, type Knock } from '../../../../src/runtime/transport/nat/knock';
import { quietPorts } from '../../../../src/runtime/transport/punched/ports';
import { eventually } from '../../../support/eventually';
import { bootCluster, type Cluster, failure } from '../cluster';

const HERE = '127.0.0.1';
/** Where the member is, if what comes to its public address does not get to it. */
const ELSEWHERE = '127.65.21.1';
const never = new AbortController().signal;

let cluster: Cluster;
const servers = new Set<Server>();
beforeEach(async () => {
  cluster = await bootCluster([{ name: 'vm', kind: 'instance' }, { name: 'api' }]);
});
afterEach(async () => {
  for (const server of servers) server.close();
  servers.clear();
  await cluster.close();
});

/** Joins as the supervisor of an instance does. */
function join(life = 'a', options: Partial<SessionOptions> = {}) {
  let epoch: number | undefined;
  return cluster.client({
    join: () => ({ host: 'vm', epoch, life, ports: [] }),
    ...options,
    onWelcome: (welcome, how) => {
      epoch = welcome.self.epoch;
      options.onWelcome?.(welcome, how);
    },
  });
}
type Member = Session;

const natOf = (vm: Member, localAddress = HERE): NatReport => ({
  kind: 'port-preserving',
  reflexiveAddress: HERE,
  localAddress,
  ports: vm.welcome.ports,
});
const knockOf =
  (vm: Member): Knock =>
  (port, secret) =>
    vm.knock(port, secret);

/** Something that listens there; its connections. */
async function listenAt(address: string, port: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket.on('error', () => undefined)));
  servers.add(server);
  server.listen(port, address);
  await once(server, 'listening');
  return sockets;
}

test('what is open is heard of, at once and again', async () => {
  const vm = await join();
  for (let i = 0; i < 3; i++) expect(await hearKnock(natOf(vm), knockOf(vm), never)).toBe(true);
});

test('filtered: nothing comes, and what else is at the address is not sent what the member says', async () => {
  const vm = await join();
  const asked: string[] = [];
  const words: Buffer[] = [];
  for (const port of quietPorts(vm.welcome.ports)) {
    const server = createServer((socket) => void socket.on('data', (bytes) => void words.push(bytes)));
    servers.add(server);
    server.listen(port, HERE);
    await once(server, 'listening');
  }
  const began = performance.now();
  const knock: Knock = (port, secret) => {
    asked.push(secret);
    vm.knock(port, secret);
  };
  expect(await hearKnock(natOf(vm, ELSEWHERE), knock, never)).toBe(false);
  expect(performance.now() - began).toBeGreaterThan(2_900);
  expect(asked).toHaveLength(1);
  const said = Buffer.concat(words);
  expect(said).toHaveLength(32);
  const secret = Buffer.from(asked[0], 'base64');
  for (const part of [secret, Buffer.from(asked[0])]) expect(said.includes(part.subarray(0, 8))).toBe(false);
});

test('a port that is taken is not used, and none that is free is as good as no knock', async () => {
  const vm = await join();
  const [last, ...others] = quietPorts(vm.welcome.ports).reverse();
  for (const port of others) await listenAt(HERE, port);
  const asked: number[] = [];
  const knock: Knock = (port, secret) => {
    asked.push(port);
    vm.knock(port, secret);
  };
  expect(await hearKnock(natOf(vm), knock, never)).toBe(true);
  await listenAt(HERE, last);
  expect(await hearKnock(natOf(vm), knock, never)).toBe(false);
  expect(asked).toEqual([last]);
});

test('strangers that say something else are not taken for the seed, nor do they keep it away', async () => {
  const vm = await join();
  let ended = 0;
  const strangers = (port: number) =>
    ['', 'short', 'x'.repeat(32), 'x'.repeat(64)].map(async (words) => {
      const socket = connect(port, HERE).on('error', () => undefined);
      socket.resume().once('close', () => void ended++);
      await once(socket, 'connect');
      socket.write(words);
    });
  const knock: Knock = async (port, secret) => {
    await Promise.all(strangers(port));
    // Those that have said too much are out; the others may still say it.
    await eventually(() => ended === 2);
    vm.knock(port, secret);
  };
  expect(await hearKnock(natOf(vm), knock, never)).toBe(true);
  await eventually(() => ended === 4);
});

test('a wrong secret', async () => {
  const vm = await join();
  const giving = new AbortController();
  let sockets = 0;
  const knock: Knock = (port, secret) => {
    const wrong = Buffer.from(secret, 'base64').reverse().toString('base64');
    vm.knock(port, wrong);
    const stranger = connect(port, HERE).on('error', () => undefined);
    stranger.once('connect', () => {
      sockets += 1;
      stranger.destroy();
      setImmediate(() => giving.abort());
    });
  };
  expect(await hearKnock(natOf(vm), knock, giving.signal)).toBe(false);
  expect(sockets).toBe(1);
});

test('given up as the member leaves: nothing listens any more', async () => {
  const vm = await join();
  const leaving = new AbortController();
  const ports: number[] = [];
  const heard = hearKnock(natOf(vm), (port) => void ports.push(port), leaving.signal);
  await eventually(() => ports.length === 1);
  leaving.abort();
  expect(await heard).toBe(false);
  const socket = connect(ports[0], HERE);
  await expect(once(socket, 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect(await hearKnock(natOf(vm), knockOf(vm), leaving.signal)).toBe(false);
});

test('the member is gone, with its knock under way: the seed serves on', async () => {
  const vm = await join();
  const [port] = quietPorts(vm.welcome.ports);
  const arrived = await listenAt(HERE, port);
  vm.knock(port, `${'A'.repeat(43)}=`);
  await eventually(() => arrived.length === 1);
  vm.close();
  const again = await join('b');
  expect(await hearKnock(natOf(again), knockOf(again), never)).toBe(true);
});

test('a seed that was restarted knocks as well', async () => {
  const welcomes: number[] = [];
  const vm = await join('a', { onWelcome: ({ self }) => void welcomes.push(self.epoch) });
  await cluster.restartSeed();
  await eventually(() => welcomes.length === 2);
  expect(await hearKnock(natOf(vm), knockOf(vm), never)).toBe(true);
});

test('four at once, also for one that joins again: a member cannot make the seed connect as it likes', async () => {
  const vm = await join();
  const [port] = quietPorts(vm.welcome.ports);
  const arrived = await listenAt(HERE, port);
  // Frames are served in order, and what listens accepts in order.
  const knockOften = async (member: Member) => {
    for (let i = 0; i < 6; i++) member.knock(port, `${'A'.repeat(43)}=`);
    await failure(member.locate('nobody', 1));
  };
  await knockOften(vm);
  vm.close();
  await knockOften(await join('b'));
  const own = connect(port, HERE);
  await once(own, 'connect');
  await eventually(() => arrived.some(({ remotePort }) => remotePort === own.localPort));
  // The last one is our own.
  expect(arrived.length).toBe(5);
  own.destroy();
});

test.each([
  ['a port that is not its own', 'vm', 80, 'port 80 is not one of its ports'],
  ['the port after its last', 'vm', 10_944, 'port 10944 is not one of its ports'],
  ['a client', undefined, 10_943, 'only host instances are knocked at'],
])('%s is refused', async (_what, host, port, reason) => {
  const arrived = port > 1_024 ? await listenAt(HERE, port) : [];
  const member = host ? await join() : await cluster.client();
  member.knock(port, `${'A'.repeat(43)}=`);
  await eventually(() => cluster.logs.some((line) => line.includes(reason)));
  expect(arrived).toEqual([]);
});

test('a host function is refused', async () => {
  cluster.host('api', async (invocation) => {
    const { session } = await cluster.supervise(invocation);
    session.knock(session.welcome.ports[0], `${'A'.repeat(43)}=`);
    return { host: invocation.host, epoch: invocation.epoch, outcome: 'released' };
  });
  const client = await cluster.client();
  client.locate('api', 80).catch(() => undefined);
  await eventually(() => cluster.logs.some((line) => line.includes('only host instances are knocked at')));
});
