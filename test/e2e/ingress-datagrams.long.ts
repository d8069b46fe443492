/** Exposed UDP ports: what a client outside of the cluster sees, what the guest sees of it, and what each may cost. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { readPlatform } from '../../src/local';
import { Asker } from '../support/asker';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { beginning, mentioning } from '../support/processes';

const python = '/usr/bin/python3';
const UDP = readFileSync(join(__dirname, 'guests/udp.py'), 'utf8');

/** At an IPv6 socket for both: connects to its first client, and answers that one. */
const ONE = `
import json, socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 53))
data, peer = s.recvfrom(65536)
s.connect(peer)
while True:
    s.send(json.dumps({"data": data.decode(), "peer": peer[:2], "name": s.getpeername()[:2]}).encode())
    data = s.recv(65536)
`;
const DNSMASQ = '--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user= --pid-file= --port=53';
const HOSTS = ['echo', 'closed', 'few', 'never', 'dozes', 'slow', 'short'];
const udp = (host: string, port: number, more = {}) => ({
  host,
  port,
  hostPort: 53,
  protocol: 'udp' as const,
  ...more,
});
const EXPOSES = [
  udp('echo', 18_300),
  udp('closed', 18_310, { allowFrom: ['203.0.113.0/24', '127.0.0.9/32'] }),
  udp('few', 18_320, { maxConnectionsPerClient: 2 }),
  udp('never', 18_330, { hostPort: 54, allocationTimeout: 300 }),
  udp('dozes', 18_340),
  udp('slow', 18_350),
  udp('short', 18_360, { flowTimeout: 1_000, maxConnectionsPerClient: 1 }),
  udp('dns', 18_380),
  udp('one', 18_390),
  udp('ends', 18_370, { maxAllocationsPerMinutePerClient: 1 }),
];

describe.each(['flat', 'nat'])('network %s', (network) => {
  let cluster: TestCluster;
  let ports: Record<string, number>;
  const askers: Asker[] = [];
  const asker = async (address?: string) => {
    const made = await Asker.at(address);
    askers.push(made);
    return made;
  };

  beforeAll(async () => {
    cluster = await bootCluster(
      [
        ...HOSTS.map((name) => ({
          name,
          command: [python, '-u', 'udp.py', '53', ...(name === 'slow' ? ['1.5'] : [])],
          ...(name === 'dozes' ? { idleTimeout: 400, releaseTimeout: 600_000 } : {}),
        })),
        { name: 'ends', command: ['/bin/false'] },
        { name: 'one', command: [python, '-u', 'one.py'] },
        { name: 'dns', command: ['/usr/sbin/dnsmasq', ...DNSMASQ.split(' '), '--address=/game.test/192.0.2.7'] },
      ],
      {
        name: `udp-${network}`,
        files: { 'udp.py': UDP, 'one.py': ONE },
        exposes: EXPOSES,
        upArguments: ['--network', network],
      },
    );
    ports = Object.fromEntries(readPlatform(cluster.state)!.exposed!.map(({ host, port }) => [host, port]));
  });
  afterAll(() => cluster?.dispose());
  afterEach(() => {
    for (const one of askers.splice(0)) one.close();
  });

  const refused = (host: string, reason: string) => (e: ClusterEvent) =>
    e.host === host && e.event === 'ingress-refused' && e.detail.reason === reason;

  test('the first datagram allocates the host, and the guest sees the real client', async () => {
    expect((await cluster.host('echo')).state).toBe('imagined');
    const one = await asker();
    const { text, from } = await one.ask(ports.echo, 'hello');
    const { address, port } = one.local;
    expect(JSON.parse(text)).toMatchObject({ data: 'hello', peer: [address, port], host: 'echo' });
    expect(from).toMatchObject({ address: '127.0.0.1', port: ports.echo });
  });

  test('a DNS server, which chooses the source of its answers by itself, and dig', async () => {
    // dnsmasq binds its socket, and asks the kernel for addresses afterwards: what comes in between it cannot answer.
    const dig = ['@127.0.0.1', '-p', String(ports.dns), '+short', '+tries=3', '+timeout=5', 'game.test'];
    expect((await promisify(execFile)('/usr/bin/dig', dig)).stdout).toBe('192.0.2.7\n');
  });

  test('a guest whose socket is of IPv6, and connected to its client', async () => {
    const one = await asker();
    const at = [`::ffff:${one.local.address}`, one.local.port];
    for (const data of ['first', 'second']) {
      const { text, from } = await one.ask(ports.one, data);
      expect(JSON.parse(text)).toEqual({ data, peer: at, name: at });
      expect(from.port).toBe(ports.one);
    }
    const other = await asker();
    await other.send(ports.one, 'of another client');
    await one.ask(ports.one, 'third');
    expect(other.answers).toEqual([]);
  });

  test('two clients at once, each with answers of its own; the largest datagram', async () => {
    const two = [await asker(), await asker('127.0.0.2')];
    const many = Array.from({ length: 20 }, (_, i) => i);
    await Promise.all(two.flatMap((one, n) => many.map((i) => one.ask(ports.echo, `<${n}.${i}>`))));
    for (const [n, one] of two.entries()) {
      const { address, port } = one.local;
      expect(one.answers).toHaveLength(many.length);
      for (const { text } of one.answers) {
        const { data, peer } = JSON.parse(text);
        expect(data).toMatch(new RegExp(`^<${n}\\.`));
        expect(peer).toEqual([address, port]);
      }
    }
    const large = 'x'.repeat(60_000);
    expect(JSON.parse((await two[0].ask(ports.echo, large)).text).data).toBe(large);
    expect((await cluster.host('echo')).allocations).toBe(1);
  });

  test('a client that is not on the allow-list allocates nothing; one that is on it is served', async () => {
    const one = await asker();
    await one.send(ports.closed, 'x');
    await cluster.waitFor(refused('closed', 'allowFrom'));
    expect(await cluster.host('closed')).toMatchObject({ state: 'imagined', allocations: 0 });
    await (await asker('127.0.0.9')).ask(ports.closed, 'let me in');
    expect(one.answers).toEqual([]);
  });

  test('flows of one client are bounded; another client does not notice', async () => {
    const two = [await asker(), await asker()];
    for (const one of two) await one.ask(ports.few, 'in');
    const third = await asker();
    await third.send(ports.few, 'too many');
    await cluster.waitFor(refused('few', 'maxConnectionsPerClient'));
    await (await asker('127.0.0.3')).ask(ports.few, 'another');
    for (const one of two) await one.ask(ports.few, 'still in');
    expect(third.answers).toEqual([]);
  });

  test('what waits for the host is bounded: the oldest datagrams go, and that is reported', async () => {
    const one = await asker();
    for (let i = 0; i < 100; i++) await one.send(ports.slow, `<${i}>`);
    await cluster.waitFor(refused('slow', 'too much waits for the host'));
    await one.answer('<99>');
    const got = one.answers.map(({ text }) => JSON.parse(text).data);
    expect(got).toEqual(Array.from({ length: 64 }, (_, i) => `<${i + 36}>`));
  });

  test('a port that nobody opens, and a host that fails: nothing is kept, and nothing is allocated again', async () => {
    const one = await asker();
    await one.send(ports.never, 'x');
    await cluster.waitFor(refused('never', 'allocationTimeout'));
    await one.send(ports.ends, 'x');
    await cluster.waitFor((e) => e.host === 'ends' && e.event === 'failed');
    await one.send(ports.ends, 'again');
    await cluster.waitFor(refused('ends', 'maxAllocationsPerMinutePerClient'));
    expect((await cluster.host('ends')).allocations).toBe(1);
  });

  test('a flow lives while something comes or goes, and then ends', async () => {
    const one = await asker();
    await one.ask(ports.short, 'first');
    // It takes the only place that this client has.
    const other = await asker();
    await other.send(ports.short, 'too early');
    await cluster.waitFor(refused('short', 'maxConnectionsPerClient'));
    await eventually(async () => {
      await other.send(ports.short, 'in time');
      return other.answers.length > 0;
    });
    const { address, port } = other.local;
    expect(JSON.parse(other.answers[0].text)).toMatchObject({ data: 'in time', peer: [address, port] });
  });

  test('the seed dies: the next one answers at the same port, and the host goes on', async () => {
    const one = await asker();
    await one.ask(ports.echo, 'before');
    const launched = mentioning(join(cluster.state, 'manifest.json'));
    const seeds = beginning(process.execPath).filter((pid) => launched.includes(pid));
    expect(seeds).toHaveLength(1);
    process.kill(seeds[0], 'SIGKILL');
    await one.ask(ports.echo, 'after');
    expect((await cluster.host('echo')).allocations).toBeLessThanOrEqual(1);
    const { address, port } = one.local;
    expect(JSON.parse((await one.answer('after')).text).peer).toEqual([address, port]);
  });

  test('a datagram wakes a host that is suspended', async () => {
    const one = await asker();
    await one.ask(ports.dozes, 'first');
    await cluster.waitFor((e) => e.host === 'dozes' && e.event === 'suspended');
    const { text } = await one.ask(ports.dozes, 'second');
    expect(JSON.parse(text).peer).toEqual([one.local.address, one.local.port]);
  });
});
