/**
 * How far away a public address is: round trips of a guest's connect to an instance that has one, itself or at a
 * one-to-one NAT, beside those of native TCP from behind the same kind of NAT to the same machine.
 */
import { python, redisServer } from '../support/guests';
import { Instances, is } from '../support/instances';
import { networkOf, type TestNetwork } from '../support/network';

/** Milliseconds: whatever else takes time on a slow machine is little beside it. */
const RTT = 250;
/** In round trips: what processes may take. */
const SLACK = 0.25;
const PORT = 6_379;
const NATIVE_PORT = 7_400;

/** In round trips: `connect`; until the first byte of the answer; and an answer later on. */
interface Times {
  readonly connect: number;
  readonly byte: number;
  readonly later: number;
}

/** Says PING over one connection or, in `steps`, over one for each moment. Prints the times of each. */
const PINGS = `
import json, socket, sys, threading, time
rtt, host, port, steps = float(sys.argv[1]) / 1000, sys.argv[2], int(sys.argv[3]), sys.argv[4] == "steps"

def ping(sock):
    sock.sendall(b"PING\\r\\n")
    assert sock.recv(7) == b"+PONG\\r\\n"

result = {}
def run(step):
    began = time.perf_counter()
    sock = socket.create_connection((host, port))
    connected = time.perf_counter()
    ping(sock)
    answered = time.perf_counter()
    for _ in range(5): ping(sock)
    times = {"connect": connected - began, "byte": answered - began, "later": (time.perf_counter() - answered) / 5}
    result[step] = {name: took / rtt for name, took in times.items()}

first = threading.Thread(target=run, args=("unknown",))
first.start()
if steps:
    time.sleep(1.4 * rtt) # the location is known by now, and nothing stands ready: that follows a connection
    run("known")
    first.join()
    time.sleep(4 * rtt)
    run("ready")
first.join()
print(json.dumps(result))
`;

const NATIVE_SERVER = `
import socket
with socket.create_server(("0.0.0.0", ${NATIVE_PORT})) as server:
    print("listening", flush=True)
    with server.accept()[0] as sock:
        while sock.recv(6): sock.sendall(b"+PONG\\r\\n")
`;

/** As a machine's, or its provider's, is by default: no connection that was not begun from inside. */
const FIREWALL =
  'table ip firewall { chain input { type filter hook input priority 0; iifname != lo tcp flags & (syn | ack) == syn ct state new drop; }; }';

const pings = (host: string, port: number, how: 'once' | 'steps') => [
  ...[python, '-c', PINGS, String(RTT), host, String(port), how],
];

describe.each([
  ['none', 'symmetric', 'relayed'],
  ['none', 'endpoint-independent', 'punched'],
  ['none', 'port-preserving', 'punched'],
  ['one-to-one', 'symmetric', 'relayed'],
  ['one-to-one', 'endpoint-independent', 'punched'],
  ['one-to-one', 'port-preserving', 'punched'],
])("to a public address (the instance's NAT: %s), a client behind a NAT that is %s", (own, nat, otherwise) => {
  let instances: Instances;
  let network: TestNetwork;
  beforeAll(async () => {
    const options = ['--network', 'nat', '--rtt', String(RTT), '--nat', `db=${own}`, '--nat', `client=${nat}`];
    instances = await Instances.boot(`${own}-${nat}`, options);
    network = networkOf(instances.cluster.state);
    instances.start('--name', 'db', '--', ...redisServer);
    await instances.cluster.waitFor(is('db', 'listening'));
    await instances.cluster.waitFor((event) => is('db', 'reachable')(event) && event.detail.nat === own);
  });
  afterAll(async () => {
    await instances?.end();
    await instances?.cluster.dispose();
  });

  const transports = async () =>
    (await instances.cluster.events()).filter(is('db', 'transport-chosen')).map(({ detail }) => detail.by);

  /** Where it is, and what a guest's own program sees there. */
  async function native(): Promise<Times> {
    const { publicAddress } = await network.faults.where('db');
    const server = network.run('db', [python, '-c', NATIVE_SERVER]);
    for (;;) {
      const { code, stdout } = await network.runAsClient(pings(publicAddress, NATIVE_PORT, 'once'));
      if (code !== 0) continue; // it does not listen yet
      await server;
      return JSON.parse(stdout).unknown;
    }
  }

  async function ours(how: 'once' | 'steps'): Promise<Record<'unknown' | 'known' | 'ready', Times>> {
    const { stdout, stderr } = await instances.cluster.exec(pings('db', PORT, how));
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  }

  test('connects in one round trip more than natively, and then is as far away', async () => {
    const base = await native();
    const { unknown, known, ready } = await ours('steps');
    const more = (times: Times) => [times.connect - base.connect, times.byte - base.byte, times.later - base.later];
    const within = (times: Times, trips: number) =>
      expect(more(times).map((trip, i) => trip <= (i < 2 ? trips : 0) + SLACK)).toEqual([true, true, true]);
    console.log(`round trips more than natively: ${JSON.stringify({ base, unknown, known, ready })}`);
    within(known, 1);
    within(ready, 0);
    // The seed is asked first where it is.
    within(unknown, 2);
    expect(await transports()).toEqual(['direct']);
  });

  test(`where a firewall lets nothing in unasked, connections are ${otherwise}`, async () => {
    expect(await network.run('db', ['nft', FIREWALL])).toMatchObject({ code: 0 });
    await ours('once');
    expect((await transports()).at(-1)).toBe(otherwise);
  });
});
