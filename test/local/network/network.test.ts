/** Network `nat`, without a platform: real namespaces, real NATs, real sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { NatInfo } from '../../../src/contract/platform/platform-info';
import { openNetwork } from '../../../src/local/network';
import { commandInside, faultsOf } from '../../../src/local/network/control-socket';
import { describeNat, parseNats } from '../../../src/local/network/nat';
import type { Network } from '../../../src/local/network/network';
import type { NatSlot } from '../../../src/local/network/slot';
import { eventually } from '../../support/eventually';
import { hasNetworkNamespaces } from '../../support/namespaces';
import { holdersOf } from '../../support/processes';

jest.setTimeout(60_000);
const PROBE = ['/usr/bin/python3', join(__dirname, 'probe.py')];
const SEED = '198.18.0.2';
const HOSTS = [
  'a',
  'b',
  'endpoint-independent',
  'altering',
  'symmetric',
  'left',
  'right',
  'tenant',
  'neighbour',
  'quiet',
  'open',
];
const NATS = [
  ...[
    'endpoint-independent=endpoint-independent',
    'altering=endpoint-independent',
    'symmetric=symmetric',
    'quiet=no-udp',
    'open=one-to-one',
  ],
  ...['left=shared', 'right=shared', 'tenant=shared:house+apart', 'neighbour=shared:house+apart'],
];
const options = {
  name: `test-${process.pid}`,
  network: 'nat' as const,
  nat: NATS,
  hosts: HOSTS,
  port: 9410,
};

let network: Network;
const children = new Set<ChildProcess>();

const natTest = hasNetworkNamespaces ? test : test.skip;

beforeAll(async () => {
  if (!hasNetworkNamespaces) return;
  network = await openNetwork(options);
  const [, net, , users] = network.seeds[0].slot.options;
  await start({ net, users }, 'serve', '7001', '7002').next();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await network?.close();
});

/** A probe, line by line. */
function start(where: { net: string; users?: string }, ...args: string[]) {
  const [program, ...rest] = commandInside(where, [...PROBE, ...args]);
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`probe ${args.join(' ')} ended`);
    return JSON.parse(value);
  };
  return { next, say: (line: string) => child.stdin.write(`${line}\n`), end: () => child.kill('SIGKILL') };
}
const probe = (where: { net: string; users?: string }, ...args: string[]) => start(where, ...args).next();

async function slot(owner: string): Promise<NatSlot> {
  const made = (await network.takeSlot(owner)) as NatSlot;
  await made.ready;
  return made;
}
const faults = () => faultsOf(network.info as NatInfo);
const portOf = (endpoint: string) => Number(endpoint.split(':')[1]);

natTest('a port-preserving NAT, and the address that is the same when the host comes again', async () => {
  const a = await slot('a');
  for (const kind of ['tcp', 'udp']) {
    const seen = await probe(a, 'observed', kind, '41000', `${SEED}:7001`, `${SEED}:7002`);
    expect(seen).toEqual([`${a.gate.address}:41000`, `${a.gate.address}:41000`]);
  }
  const twin = await slot('a');
  expect(twin.gate.address).not.toBe(a.gate.address);
  a.close();
  const again = await slot('a');
  expect(again.gate.address).toBe(a.gate.address);
  expect(again.privateAddress).not.toBe(a.privateAddress);
  expect(await probe(again, 'observed', 'tcp', '41000', `${SEED}:7001`)).toEqual([`${a.gate.address}:41000`]);
  again.close();
  twin.close();
});

natTest('a NAT that changes ports, the same for every destination', async () => {
  const at = await slot('endpoint-independent');
  for (const port of ['41000', '4100']) {
    for (const kind of ['tcp', 'udp']) {
      const [first, second] = await probe(at, 'observed', kind, port, `${SEED}:7001`, `${SEED}:7002`);
      expect(first).toMatch(`${at.gate.address}:`);
      expect(portOf(first)).not.toBe(Number(port));
      expect(second).toBe(first);
    }
  }
  at.close();
});

natTest('a symmetric NAT: another port for each destination', async () => {
  const at = await slot('symmetric');
  for (const kind of ['tcp', 'udp']) {
    const [first, second] = await probe(at, 'observed', kind, '41000', `${SEED}:7001`, `${SEED}:7002`);
    expect(first).toMatch(`${at.gate.address}:`);
    expect(second).toMatch(`${at.gate.address}:`);
    expect(new Set([41000, portOf(first), portOf(second)]).size).toBe(3);
  }
  at.close();
});

natTest('nothing comes in unasked; answered with a reset where that is switched on', async () => {
  const [a, b] = [await slot('a'), await slot('b')];
  const listener = start(a, 'listen', '8000');
  await listener.next();
  expect(await probe(b, 'knock', `${a.gate.address}:8000`)).toBe('TimeoutError');
  await faults().refuse('a', true);
  expect(await probe(b, 'knock', `${a.gate.address}:8000`)).toBe('ConnectionRefusedError');
  await faults().refuse('a', false);
  expect(await probe(b, 'knock', `${a.gate.address}:8000`)).toBe('TimeoutError');
  // Nor by the private address, which leads nowhere.
  expect(await probe(b, 'knock', `${a.privateAddress}:8000`)).not.toBe('connected');
  listener.end();
  a.close();
  b.close();
});

natTest('a one-to-one NAT: every port, unasked, under its own number, whatever it has forgotten', async () => {
  const [open, a] = [await slot('open'), await slot('a')];
  expect(open.privateAddress).not.toBe(open.gate.address);
  const seen = await probe(open, 'observed', 'tcp', '41000', `${SEED}:7001`, `${SEED}:7002`);
  expect(seen).toEqual([`${open.gate.address}:41000`, `${open.gate.address}:41000`]);
  const isReached = async (port: string) => {
    const listener = start(open, 'listen', port);
    await listener.next();
    expect(await probe(a, 'knock', `${open.gate.address}:${port}`)).toBe('connected');
    expect(await listener.next()).toBe(a.gate.address);
    listener.end();
  };
  await isReached('8000');
  expect(await probe(a, 'knock', `${open.gate.address}:8001`)).toBe('ConnectionRefusedError');
  const line = start(open, 'talk', `${SEED}:7001`);
  await line.next();
  await faults().forget('open');
  line.say('after');
  expect(await line.next()).toBe('after');
  await faults().move('open');
  await isReached('8002');
  line.end();
  open.close();
  a.close();
});

natTest('a simultaneous open through two port-preserving NATs', async () => {
  const [a, b] = [await slot('a'), await slot('b')];
  const heard = await Promise.all([
    probe(a, 'punch', '42001', `${b.gate.address}:42002`),
    probe(b, 'punch', '42002', `${a.gate.address}:42001`),
  ]);
  expect(heard).toEqual(['42002', '42001']);
  a.close();
  b.close();
});

natTest('a simultaneous open through two NATs that change ports, from ports that were looked up before', async () => {
  const [at, peer] = [await slot('endpoint-independent'), await slot('altering')];
  const [one, other] = [start(at, 'meet', '42001', `${SEED}:7001`), start(peer, 'meet', '42002', `${SEED}:7001`)];
  const [here, there] = [await one.next(), await other.next()];
  one.say(there);
  other.say(here);
  expect(await Promise.all([one.next(), other.next()])).toEqual(['42002', '42001']);
  at.close();
  peer.close();
});

natTest(
  'hosts behind one address: told apart by port, reachable by private addresses, not by the public one',
  async () => {
    const [left, right] = [await slot('left'), await slot('right')];
    expect(left.gate.address).toBe(right.gate.address);
    const first = start(left, 'talk', `${SEED}:7001`);
    const [own] = await probe(left, 'observed', 'tcp', '41000', `${SEED}:7001`);
    const [other] = await probe(right, 'observed', 'tcp', '41000', `${SEED}:7001`);
    expect(await first.next()).toMatch(`${left.gate.address}:`);
    expect(other).toMatch(`${left.gate.address}:`);
    expect(other).not.toBe(own);
    const listener = start(left, 'listen', '8000');
    await listener.next();
    expect(await probe(right, 'knock', `${left.gate.address}:8000`)).toBe('TimeoutError');
    expect(await probe(right, 'knock', `${left.privateAddress}:8000`)).toBe('connected');
    expect(await listener.next()).toBe(right.privateAddress);
    first.end();
    left.close();
    right.close();
  },
);

natTest('hosts behind one address that are kept apart', async () => {
  const [tenant, neighbour] = [await slot('tenant'), await slot('neighbour')];
  expect(tenant.gate.address).toBe(neighbour.gate.address);
  const listener = start(tenant, 'listen', '8000');
  await listener.next();
  expect(await probe(neighbour, 'knock', `${tenant.privateAddress}:8000`)).toBe('TimeoutError');
  listener.end();
  tenant.close();
  neighbour.close();
});

natTest('a NAT that lets no UDP through', async () => {
  const at = await slot('quiet');
  expect(await probe(at, 'observed', 'udp', '41000', `${SEED}:7001`)).toEqual(['TimeoutError']);
  expect(await probe(at, 'observed', 'tcp', '41000', `${SEED}:7001`)).toEqual([`${at.gate.address}:41000`]);
  at.close();
});

natTest('a NAT that forgets: what was open is silent, what is new works', async () => {
  const a = await slot('a');
  const line = start(a, 'talk', `${SEED}:7001`);
  await line.next();
  line.say('before');
  expect(await line.next()).toBe('before');
  await faults().forget('a');
  line.say('after');
  expect(await line.next()).toBe('TimeoutError');
  expect(await probe(a, 'observed', 'tcp', '0', `${SEED}:7001`)).toEqual([expect.stringMatching(a.gate.address)]);
  line.end();
  a.close();
});

natTest('the internet cut and back, for all and for one', async () => {
  const [a, b] = [await slot('a'), await slot('b')];
  const [one, other] = [start(a, 'talk', `${SEED}:7001`), start(b, 'talk', `${SEED}:7001`)];
  await one.next();
  await other.next();
  const say = async (line: typeof one, text: string) => {
    line.say(text);
    return line.next();
  };
  await faults().cut(true);
  expect(await Promise.all([say(one, '1'), say(other, '1')])).toEqual(['TimeoutError', 'TimeoutError']);
  await faults().cut(false);
  await faults().cut(true, 'b');
  // What was said meanwhile comes after all, first.
  expect(await say(one, '2')).toMatch(/^1/);
  expect(await say(other, '2')).toBe('TimeoutError');
  await faults().cut(false, 'b');
  expect(await say(other, '3')).toMatch(/^1/);
  one.end();
  other.end();
  a.close();
  b.close();
});

natTest('a slot that is silent, and the other one behind its NAT, which is not', async () => {
  const [one, other] = [await slot('left'), await slot('right')];
  expect(one.gate.space).toBe(other.gate.space);
  const lines = [start(one, 'talk', `${SEED}:7001`), start(other, 'talk', `${SEED}:7001`)];
  for (const line of lines) await line.next();
  const say = async (text: string) => {
    for (const line of lines) line.say(text);
    return Promise.all(lines.map(({ next }) => next()));
  };
  await one.silence(true);
  await one.silence(true);
  expect(await say('1')).toEqual(['TimeoutError', '1']);
  await one.silence(false);
  // What was said meanwhile comes after all, first.
  expect(await say('2')).toEqual([expect.stringMatching(/^1/), '2']);
  for (const line of lines) line.end();
  await one.silence(true);
  one.close();
  // The rule went with it.
  expect(await probe(other, 'observed', 'tcp', '41000', `${SEED}:7001`)).toEqual([
    expect.stringMatching(`^${other.gate.address}:`),
  ]);
  other.close();
});

natTest('another public address, and what was open before', async () => {
  const a = await slot('a');
  const before = a.gate.address;
  const line = start(a, 'talk', `${SEED}:7001`);
  expect(await line.next()).toMatch(`${before}:`);
  const address = await faults().move('a');
  expect(address).not.toBe(before);
  expect(await faults().where('a')).toMatchObject({ publicAddress: address, privateAddress: a.privateAddress });
  expect(await probe(a, 'observed', 'tcp', '41000', `${SEED}:7001`)).toEqual([`${address}:41000`]);
  line.say('anybody there?');
  expect(await line.next()).toBe('TimeoutError');
  line.end();
  a.close();
  const again = await slot('a');
  expect(again.gate.address).toBe(address);
  again.close();
});

natTest('a delay, half of it each way, and none again', async () => {
  const a = await slot('a');
  const failed = await faults()
    .rtt(20)
    .then(
      () => undefined,
      (error: Error) => error.message,
    );
  if (failed !== undefined) {
    expect(failed).toContain('/dev/net/tun');
    process.stderr.write(`no delay on this machine: ${failed}\n`);
    return a.close();
  }
  const slow = await probe(a, 'fastest', `${SEED}:7001`);
  expect(slow).toBeGreaterThanOrEqual(20);
  expect(slow).toBeLessThan(40);
  expect(await probe(a, 'throughput', `${SEED}:7001`, '16')).toBeGreaterThan(0);
  await faults().rtt(0);
  expect(await probe(a, 'fastest', `${SEED}:7001`)).toBeLessThan(20);
  a.close();
});

natTest('a fault of a host that has no slot: one error that names it', async () => {
  await expect(faults().forget('a')).rejects.toThrow("'a' has no slot in the network now");
});

natTest('who does not have the token gets nothing', async () => {
  const info = network.info as NatInfo;
  const { token } = info;
  const wrong = [...token].map((letter, at) => token.slice(0, at) + (letter === 'A' ? 'B' : 'A') + token.slice(at + 1));
  for (const guessed of ['', 'guessed', token.slice(1), `${token}A`, ...wrong])
    await expect(faultsOf({ ...info, token: guessed }).cut(true)).rejects.toMatchObject({ code: 'network' });
});

natTest('when it is closed, nothing has its namespaces any longer', async () => {
  const other = await openNetwork({ ...options, name: `${options.name}-closed` });
  const at = (await other.takeSlot('a')) as NatSlot;
  const namespace = readlinkSync(at.net);
  expect(holdersOf(namespace)).not.toEqual([]);
  await other.close();
  await eventually(() => holdersOf(namespace).length === 0);
});

test.each([
  ['none+no-udp', "--nat is 'none+no-udp': 'none' is no NAT, which has no further kinds; allowed: 'none' alone"],
  [
    'a=one-to-one+shared',
    "--nat is 'a=one-to-one+shared': 'one-to-one' lets everything of one host through; allowed: 'one-to-one' alone",
  ],
  [
    'sometimes',
    "--nat is 'sometimes': 'sometimes' is no kind of NAT; allowed: none, one-to-one, port-preserving, endpoint-independent",
  ],
  ['c=symmetric', "--nat is 'c=symmetric': there is no host 'c'; allowed: a, b, client"],
  ['a=', "--nat is 'a=': '' is no kind of NAT"],
  ['a=shared:Ä', "'shared:Ä' is no kind of NAT"],
])('--nat %s', (text, message) => {
  expect(() => parseNats([text], ['a', 'b'])).toThrow(message);
});

test('kinds of NAT: the last word holds, and hosts that share one agree', () => {
  const natOf = parseNats(['symmetric+no-udp', 'a=shared', 'client=endpoint-independent'], ['a', 'b']);
  expect(['a', 'b', 'client'].map((owner) => describeNat(natOf(owner)))).toEqual([
    ...['port-preserving+shared', 'symmetric+no-udp', 'endpoint-independent'],
  ]);
  expect(() => parseNats(['a=shared', 'b=shared+symmetric'], ['a', 'b'])).toThrow("'b' and 'a' share a NAT");
});

test('what is for NATs is refused for network flat', async () => {
  await expect(openNetwork({ ...options, network: 'flat' })).rejects.toMatchObject({ code: 'nat' });
});
