/** The supervisor in a process of its own, with a real seed, real guests under the real shim, and real connections. */
import { connect } from 'node:net';
import { LocateError } from '../../../../src/runtime/control/index';
import { family } from '../../../support/processes';
import { bootCluster, type Cluster } from '../../seed/cluster';
import { layersFolder, openSandbox, read, type Sandbox, type SandboxOptions } from '../sandbox';

jest.setTimeout(60_000);

const FLAT = 78;
const python = '/usr/bin/python3';
/** Answers each connection with `hello`, once. */
const SERVER = `
import socket, sys, time
time.sleep(float(sys.argv[2]))
l = socket.create_server(('0.0.0.0', int(sys.argv[1])))
print('serving', flush=True)
while True:
    s, peer = l.accept()
    s.sendall(b'hello')
    s.close()
`;
const serves = (port: number, after = 0) => [python, '-c', SERVER, String(port), String(after)];

let layers: ReturnType<typeof layersFolder>;
beforeAll(() => {
  layers = layersFolder();
});
afterAll(() => layers.remove());

let cluster: Cluster;
let sandboxes: Sandbox[];
beforeEach(() => {
  sandboxes = [];
});
afterEach(async () => {
  for (const sandbox of sandboxes) sandbox.close();
  await cluster.close();
});

type Hosts = Parameters<typeof bootCluster>[0];

/** A cluster in which every host runs in one sandbox, made when it is needed first. */
async function boot(hosts: Hosts, options: Partial<SandboxOptions> = {}) {
  cluster = await bootCluster(
    hosts.map((host) => ({ workingDirectory: '/', ...host })),
    { flat: FLAT },
  );
  const opened = new Map<string, Promise<Sandbox>>();
  for (const { name } of hosts) {
    cluster.host(name, async (invocation) => {
      const opening = opened.get(name) ?? openSandbox({ layers: layers.path, flat: FLAT, ...options });
      opened.set(name, opening);
      const sandbox = await opening;
      if (!sandboxes.includes(sandbox)) sandboxes.push(sandbox);
      return sandbox.invoke(invocation);
    });
  }
  return {
    client: await cluster.client(),
    sandbox: async (name: string) => {
      await cluster.event(name, 'joined');
      return opened.get(name)!;
    },
  };
}

const failure = (ask: Promise<unknown>) =>
  ask.then(
    () => 'none',
    (error) => {
      if (!(error instanceof LocateError)) throw error;
      return `${error.errno}: ${error.message}`;
    },
  );

test('allocated by the first ask, suspended when idle, resumed with its guest, released', async () => {
  const { client, sandbox } = await boot([
    { name: 'web', command: serves(8080), idleTimeout: 300, releaseTimeout: 3_000 },
  ]);
  const first = await client.locate('web', 8080);
  expect(first.location).toMatchObject({ state: 'running', address: expect.stringMatching(/^127\.78\./) });
  expect(first.realPort).toBe(8080);
  expect(await read(first.location.address!, first.realPort)).toBe('hello');
  const web = await sandbox('web');
  await web.logged(({ line }) => line === 'serving');
  const guests = family(web.pid).slice(1);
  expect(guests).toHaveLength(1);

  await cluster.event('web', 'suspended');
  expect(client.told.at(-1)).toMatchObject({ host: 'web', state: 'suspended' });
  const second = await client.locate('web', 8080);
  expect(second.location.epoch).toBe(first.location.epoch);
  expect(await read(second.location.address!, second.realPort)).toBe('hello');
  expect(family(web.pid).slice(1)).toEqual(guests);

  await cluster.event('web', 'released');
  expect(family(web.pid)).toEqual([web.pid]);
  const third = await client.locate('web', 8080);
  expect(third.location.epoch).toBeGreaterThan(first.location.epoch);
  expect(await read(third.location.address!, third.realPort)).toBe('hello');
  const names = cluster.events.filter((e) => e.host === 'web').map((e) => e.event);
  expect(names.filter((n) => n === 'guest-started')).toHaveLength(2);
});

test('an open connection holds the host', async () => {
  const command = [
    python,
    '-c',
    'import socket\nl = socket.create_server(("0.0.0.0", 8080))\nwhile True: s = l.accept()[0]; print(s.recv(9), flush=True); s.close()',
  ];
  const brief = { idleTimeout: 200, releasePolicy: 'no-connections' } as const;
  const { client, sandbox } = await boot([
    { name: 'web', command, ...brief },
    { name: 'other', command: serves(8080), ...brief },
  ]);
  const { location, realPort } = await client.locate('web', 8080);
  const socket = connect(realPort, location.address);
  const web = await sandbox('web');
  // A host that nobody is connected to, and that was started later, is suspended meanwhile.
  await client.locate('other', 8080);
  await cluster.event('other', 'suspended');
  expect(cluster.events.some((e) => e.host === 'web' && e.event === 'suspending')).toBe(false);
  socket.end('over');
  await cluster.event('web', 'suspended');
  await web.logged(({ line }) => line === "b'over'");
  expect(await web.logged((l) => l.message?.includes('suspended') === true)).toMatchObject({
    lastHeldBy: 'connections',
  });
});

test('a guest that exits: its code and its output are told, and waiting clients are refused', async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: ['sh', '-c', 'echo giving up >&2; exit 3'] }]);
  expect(await failure(client.locate('web', 8080))).toMatch(/^ECONNREFUSED: .*code 3/);
  expect((await cluster.event('web', 'exited')).detail).toMatchObject({ exitCode: 3 });
  await (await sandbox('web')).logged(({ line, stream }) => line === 'giving up' && stream === 'stderr');
});

test('a missing program: refused, with the file and the host in the event and in the log', async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: ['/usr/bin/no-such-program'] }]);
  const reason = "host 'web': /usr/bin/no-such-program: there is no such file";
  expect(await failure(client.locate('web', 8080))).toContain(reason);
  expect((await cluster.event('web', 'exited')).detail).toMatchObject({ exitCode: 127 });
  expect(await (await sandbox('web')).logged((l) => l.level === 'error')).toMatchObject({ message: reason });
});

test('a settled host refuses what it does not listen on; loopback listeners are its own', async () => {
  const command = [
    python,
    '-c',
    `import socket, time\na = socket.create_server(('0.0.0.0', 8080)); b = socket.create_server(('127.0.0.1', 9090))\ntime.sleep(60)`,
  ];
  const { client } = await boot([{ name: 'web', command, settleTime: 200 }]);
  expect((await client.locate('web', 8080)).location.ports.map((p) => p.port)).toEqual([8080]);
  expect(await failure(client.locate('web', 9090))).toMatch(/^ECONNREFUSED/);
});

test('a server that opens another port first, and works on, is waited for', async () => {
  const command = [
    python,
    '-c',
    `import socket, time\na = socket.create_server(('0.0.0.0', 9000)); end = time.time() + 1.5\nwhile time.time() < end: pass\nb = socket.create_server(('0.0.0.0', 8080))\ntime.sleep(60)`,
  ];
  const { client } = await boot([{ name: 'web', command, settleTime: 300 }]);
  expect((await client.locate('web', 8080)).realPort).toBe(8080);
  expect(await failure(client.locate('web', 8081))).toMatch(/^ECONNREFUSED: .*settleTime/);
});

test('a listener that is closed is taken back', async () => {
  const command = [
    python,
    '-c',
    `import socket, sys, time\na = socket.create_server(('0.0.0.0', 8080)); b = socket.create_server(('0.0.0.0', 8081))\ntime.sleep(1.5)\nb.close()\ntime.sleep(60)`,
  ];
  const { client } = await boot([{ name: 'web', command }]);
  await client.locate('web', 8081);
  const { detail } = await cluster.event('web', 'listening-ended');
  expect(detail).toMatchObject({ port: 8081 });
});

test('the seed restarts while a guest starts: the host rejoins and the client is answered', async () => {
  const { client } = await boot([{ name: 'web', command: serves(8080, 1.5) }]);
  const asking = client.locate('web', 8080);
  await cluster.event('web', 'guest-started');
  await cluster.restartSeed({ grace: 2_000 });
  const { location, realPort } = await asking;
  expect(await read(location.address!, realPort)).toBe('hello');
  expect(cluster.lambda.requests).toHaveLength(1);
});

test("the function's time is up: invoked again into the same sandbox, the guest goes on", async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: serves(8080), timeout: 2_000 }], { timeout: 2_000 });
  const before = await client.locate('web', 8080);
  await cluster.event('web', 'renewing');
  await cluster.event(
    'web',
    'invoked',
    (e) => e.detail.epoch === before.location.epoch && cluster.lambda.requests.length > 1,
  );
  const after = await client.locate('web', 8080);
  expect(after.location.epoch).toBe(before.location.epoch);
  expect(await read(after.location.address!, after.realPort)).toBe('hello');
  expect((await sandbox('web')).output().filter((line) => line === 'serving')).toHaveLength(1);
});

test('a newer epoch has joined meanwhile: the older one stops its guests, whether it comes back or is there', async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: serves(8080), idleTimeout: 200 }]);
  const { location } = await client.locate('web', 8080);
  await cluster.event('web', 'suspended');
  const web = await sandbox('web');
  const { invocation } = cluster.lambda.requests[0];
  const newer = (epoch: number) => {
    const secret = cluster.access(`host/web/${epoch}`).secret.toString('base64');
    return { ...invocation, epoch, secret };
  };
  await cluster.supervise(newer(location.epoch + 1));
  expect(await web.invoke(invocation)).toMatchObject({ outcome: 'fenced' });
  expect(family(web.pid)).toEqual([web.pid]);

  const running = web.invoke(newer(location.epoch + 2));
  await cluster.event('web', 'guest-started', (e) => e.detail.pid !== undefined && family(web.pid).length > 1);
  await cluster.supervise(newer(location.epoch + 3));
  expect(await running).toMatchObject({ outcome: 'fenced' });
  expect(family(web.pid)).toEqual([web.pid]);
});

test('no-traffic: a connection that is open but quiet does not hold the host', async () => {
  const command = [
    python,
    '-c',
    'import socket\nl = socket.create_server(("0.0.0.0", 8080))\nwhile True: s = l.accept()[0]; s.sendall(s.recv(9)); x = s',
  ];
  const { client } = await boot([{ name: 'web', command, idleTimeout: 300, releasePolicy: 'no-traffic' }]);
  const { location, realPort } = await client.locate('web', 8080);
  const socket = connect(realPort, location.address);
  socket.write('x');
  await new Promise((resolve) => socket.once('data', resolve));
  await cluster.event('web', 'suspended');
  expect(socket.readyState).toBe('open');
  socket.destroy();
});

test('the cluster goes down: guests are stopped and the invocation returns', async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: serves(8080) }]);
  await client.locate('web', 8080);
  const web = await sandbox('web');
  await cluster.seed.stop({ down: true });
  expect(family(web.pid)).toEqual([web.pid]);
});

test('the sandbox is shut down: guests end, the process too', async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: serves(8080) }]);
  await client.locate('web', 8080);
  const web = await sandbox('web');
  const guests = family(web.pid).slice(1);
  web.shutdown();
  expect(await web.exited).toBe(0);
  expect(guests.flatMap(family)).toEqual([]);
});

test('an older epoch is fenced out; a sandbox is one host’s; what is no invocation is an error', async () => {
  const { client, sandbox } = await boot([{ name: 'web', command: serves(8080), idleTimeout: 200 }]);
  const { location } = await client.locate('web', 8080);
  await cluster.event('web', 'suspended');
  const web = await sandbox('web');
  const { invocation } = cluster.lambda.requests[0];
  const older = { ...invocation, epoch: location.epoch - 1 };
  expect(await web.invoke(older)).toMatchObject({ outcome: 'fenced' });
  expect(await web.invoke({ ...older, action: 'release' })).toMatchObject({ outcome: 'fenced' });
  await expect(web.invoke({ ...invocation, host: 'api' })).rejects.toMatchObject({ code: 'wrong-host' });
  await expect(web.invoke({} as never)).rejects.toMatchObject({ code: 'BAD_INVOCATION' });
  expect(await web.invoke({ ...invocation, action: 'release' })).toMatchObject({ outcome: 'released' });
  expect(family(web.pid)).toEqual([web.pid]);
});
