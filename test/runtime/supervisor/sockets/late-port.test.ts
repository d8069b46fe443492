/** Servers that open a port at once, sleep, and only then open the one for clients: real guests, default properties. */
import { bootCluster, type Cluster, failure } from '../../seed/cluster';
import { layersFolder, openSandbox, type Sandbox } from '../sandbox';

jest.setTimeout(30_000);

const FLAT = 79;
const SERVER = `
import socket, time
a = socket.create_server(('0.0.0.0', 9000))
time.sleep(2)
b = socket.create_server(('0.0.0.0', 7000))
time.sleep(60)
`;
const APP = "setTimeout(() => require('net').createServer((c) => c.pipe(c)).listen(7000), 2_000)";

let layers: ReturnType<typeof layersFolder>;
let cluster: Cluster;
let sandbox: Sandbox;
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());
afterEach(async () => {
  sandbox.close();
  await cluster.close();
});

test.each([
  ['a port for its own kind', ['/usr/bin/python3', '-c', SERVER], 9000],
  ['a port for debuggers', [process.execPath, '--inspect=0.0.0.0:9229', '-e', APP], 9229],
  ['a port for debuggers on loopback', [process.execPath, '--inspect', '-e', APP], undefined],
])('%s first: the client that the host was allocated for is answered', async (_, command, first) => {
  cluster = await bootCluster([{ name: 'web', workingDirectory: '/', command }], { flat: FLAT });
  sandbox = await openSandbox({ layers: layers.path, flat: FLAT });
  cluster.host('web', (invocation) => sandbox.invoke(invocation));
  const client = await cluster.client();
  const cause = client.locate('web', 7000);
  if (first) {
    await cluster.event('web', 'listening', ({ detail }) => detail.port === first);
    // It has settled by then, while the guest sleeps.
    expect(await failure(client.locate('web', 7001))).toMatchObject({ errno: 'ECONNREFUSED' });
    expect(cluster.events.some(({ event, detail }) => event === 'listening' && detail.port === 7000)).toBe(false);
  }
  expect((await cause).realPort).toBe(7000);
});
