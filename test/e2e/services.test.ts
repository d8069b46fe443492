/** A service: one name for several hosts, of which each connect picks one. */
import { parseAddress } from '../../src/contract/manifest';
import { bootCluster, type TestCluster } from '../support/cluster';
import { echo } from '../support/dial';
import { guestFiles, python } from '../support/guests';
import { processesOf } from '../support/processes';
import { openService } from '../support/service';

const NAME = 'services-test';
const files = guestFiles('echo.py', 'service.py');
const hosts = [
  ...['a', 'b', 'c'].map((name) => ({ ...echo(name), idleTimeout: 500 })),
  // Their guests end at once.
  ...['x', 'y'].map((name) => ({ name, command: ['false'] })),
];
const services = [
  { name: 'web', hosts: ['a', 'b', 'c'], maxConnections: 4 },
  { name: 'stuck', hosts: ['a', 'b', 'c'], maxConnections: 1, sticky: true },
  { name: 'dead', hosts: ['x', 'y'] },
  { name: 'half', hosts: ['x', 'a'] },
];

describe.each([
  ['flat', ['--network', 'flat']],
  ['nat', ['--network', 'nat']],
])('network %s', (network, flags) => {
  let cluster: TestCluster;
  let address: Record<string, string>;
  beforeAll(async () => {
    cluster = await bootCluster(hosts, { files, services, name: NAME, upArguments: flags });
    address = Object.fromEntries((await cluster.ps()).map((host) => [host.name, host.address]));
  });
  afterAll(() => cluster?.dispose());

  test('the first connect imagines one host and is held; a full one has the next imagined; the peer is the service', async () => {
    const first = openService(cluster, 'web', 'hold', 1);
    const one = await first.seen();
    expect(one).toMatchObject({ hosts: { [address.a]: 1 }, failed: [], broken: 0 });
    expect(one.peers).toHaveLength(1);
    const [service] = one.peers[0].split(':');
    expect(Object.values(address)).not.toContain(service);
    expect(parseAddress(service)).toBeDefined();
    expect((await cluster.ps()).slice(0, 3).map(({ state }) => state)).toEqual(['running', 'imagined', 'imagined']);

    const many = openService(cluster, 'web', 'hold', 10);
    const ten = await many.seen();
    expect(ten).toMatchObject({ failed: [], broken: 0, peers: one.peers });
    // 11 in all, and 4 on each unless a report comes late: all three.
    for (const name of ['a', 'b', 'c']) expect(ten.hosts[address[name]] + Number(name === 'a')).toBeLessThanOrEqual(6);
    await Promise.all([first.end(), many.end()]);
  });

  test('hosts that end under load: no connect fails, and what was chosen is in the events', async () => {
    let runs = 0;
    const client = openService(cluster, 'web', 'churn', 8);
    const other = openService(cluster, 'web', 'hold', 9);
    expect(await other.seen()).toMatchObject({ failed: [], broken: 0 });
    expect((await cluster.ps()).slice(0, 3).map(({ state }) => state)).toEqual(['running', 'running', 'running']);
    for (const pid of processesOf(`${NAME}-b`)) kill(pid);
    // It is one of those that are chosen from again.
    await cluster.waitFor((event) => event.host === 'b' && event.event === 'failed');
    await cluster.waitFor((event) => event.host === 'b' && event.event === 'running' && ++runs === 2);
    await Promise.all([client.end(), other.end()]);
    const seen = await client.seen();
    expect(seen).toMatchObject({ failed: [] });
    expect(Object.keys(seen.hosts).sort()).toEqual(['a', 'b', 'c'].map((name) => address[name]).sort());
    const chosen = (await cluster.events()).filter(({ event }) => event === 'service-chosen');
    expect(chosen[0]).toMatchObject({
      host: 'a',
      detail: { from: 'client-0', service: 'web', port: 7000, why: 'all that run are full, and it is imagined' },
    });
    expect(new Set(chosen.map(({ host }) => host))).toEqual(new Set(['a', 'b', 'c']));
  });

  test('a service whose hosts all fail: the errno of a host; one that fails beside one that serves costs nothing', async () => {
    expect(await dial('dead')).toBe(await dial('x'));
    expect(await dial('x')).toBe('ECONNREFUSED');
    expect(await dial('half')).toBe('connected');
  });

  if (network === 'nat') return;

  test('a sticky one leads a member to one host; a host whose load fits on the others gets none, and falls asleep', async () => {
    await cluster.waitFor((event) => event.host === 'c' && event.event === 'suspended');
    const sticky = openService(cluster, 'stuck', 'hold', 3);
    expect(Object.values((await sticky.seen()).hosts)).toEqual([3]);
    await sticky.end();
    // Connects go on, one after the other: to all that run, which keeps them from being idle.
    const steady = openService(cluster, 'web', 'churn', 1);
    const seven = openService(cluster, 'web', 'hold', 7);
    expect(await seven.seen()).toMatchObject({ failed: [] });
    await seven.end();
    const { host, detail } = await cluster.waitFor((event) => event.event === 'draining');
    expect(detail).toMatchObject({ service: 'web', why: 'the others have room for the load' });
    await cluster.waitFor((event) => event.host === host && event.event === 'suspended');
    await steady.end();
    expect(await steady.seen()).toMatchObject({ failed: [], broken: 0 });
  });

  /** One connect, and the name of its errno. */
  async function dial(to: string): Promise<string> {
    const program = `import errno, socket
try:
    socket.create_connection(("${to}", 7000))
    print("connected")
except OSError as error:
    print(errno.errorcode[error.errno])`;
    return (await cluster.exec([python, '-c', program])).stdout.trim();
  }
});

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended with another one.
  }
}
