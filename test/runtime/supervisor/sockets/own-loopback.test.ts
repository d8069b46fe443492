/**
 * Network `flat`, where all hosts of a machine share its kernel: what one has at 127.0.0.2 and the like is no other's,
 * and what it had in an earlier life is not in its way.
 */
import { bootCluster, type Cluster } from '../../seed/cluster';
import { layersFolder, openSandbox, read, type Sandbox } from '../sandbox';

jest.setTimeout(60_000);

const FLAT = 95;
const python = '/usr/bin/python3';
let layers: ReturnType<typeof layersFolder>;
let cluster: Cluster;
let sandboxes: Sandbox[];
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());
beforeEach(() => {
  sandboxes = [];
});
afterEach(async () => {
  for (const sandbox of sandboxes) sandbox.close();
  await cluster.close();
});

/** Each allocation has a sandbox of its own. */
async function boot(hosts: Parameters<typeof bootCluster>[0]) {
  cluster = await bootCluster(
    hosts.map((host) => ({ workingDirectory: '/', ...host })),
    { flat: FLAT },
  );
  for (const { name } of hosts) {
    let last: { epoch: number; sandbox: Sandbox } | undefined;
    cluster.host(name, async (invocation) => {
      if (last?.epoch !== invocation.epoch) {
        last = { epoch: invocation.epoch, sandbox: await openSandbox({ layers: layers.path, flat: FLAT }) };
        sandboxes.push(last.sandbox);
      }
      return last.sandbox.invoke(invocation);
    });
  }
  return cluster.client();
}

/**
 * At 127.0.0.10 a TCP and a UDP port that say whose they are; who connects to the wildcard is told what is found there.
 */
const OWN = `
import socket, sys, threading
name = sys.argv[1]
tcp = socket.socket(); tcp.bind(('127.0.0.10', 7555)); tcp.listen()
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind(('127.0.0.10', 7555))
def streams():
    while True:
        s, _ = tcp.accept(); s.sendall(name.encode()); s.close()
def datagrams():
    while True:
        _, peer = udp.recvfrom(9); udp.sendto(name.encode(), peer)
for work in streams, datagrams: threading.Thread(target=work, daemon=True).start()
def found():
    s = socket.create_connection(('127.0.0.10', 7555), 5); yield s.recv(9).decode()
    u = socket.socket(type=socket.SOCK_DGRAM); u.settimeout(5); u.connect(('127.0.0.10', 7555)); u.send(b'?'); yield u.recv(9).decode()
    try: socket.create_connection(('127.0.0.11', 7555), 5); yield 'there'
    except ConnectionRefusedError: yield 'refused'
l = socket.create_server(('0.0.0.0', 8080))
while True:
    s, _ = l.accept(); s.sendall(' '.join(found()).encode()); s.close()
`;

test('two hosts with the same port at 127.0.0.10: each finds its own', async () => {
  const host = (name: string) => ({ name, command: [python, '-c', OWN, name] });
  const client = await boot([host('one'), host('two')]);
  for (const name of ['one', 'two', 'one']) {
    const { location, realPort } = await client.locate(name, 8080);
    expect(await read(location.address!, realPort)).toBe(`${name} ${name} refused`);
  }
});

/** Has no SO_REUSEADDR, closes first, so that its kernel remembers the connection, and tries to bind its port again. */
const FORGETFUL = `
import signal, socket
def listen():
    s = socket.socket(); s.bind(('0.0.0.0', 7000)); s.listen(9)
    return s
l = listen()
c, _ = l.accept()
l.close()
try: listen(); c.sendall(b'bound again')
except OSError as e: c.sendall(str(e.errno).encode())
c.close()
signal.pause()
`;

test('a server without SO_REUSEADDR can bind its port in its next life, and not in the same one', async () => {
  const host = { name: 'web', command: [python, '-c', FORGETFUL], idleTimeout: 300, releaseTimeout: 300 };
  const client = await boot([host]);
  const epochs = new Set<number>();
  for (let life = 1; life <= 3; life++) {
    const { location, realPort } = await client.locate('web', 7000);
    epochs.add(location.epoch);
    // The connection of this very moment is in the way of the second bind, as it always is: EADDRINUSE.
    expect(await read(location.address!, realPort)).toBe('98');
    await cluster.event('web', 'released', (event) => event.detail.epoch === location.epoch);
  }
  expect(epochs.size).toBe(3);
});
