/**
 * The path between a host and its seed dies without a sign at the moment at which the host is idle: real guest, real
 * seed.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { bootCluster } from '../../seed/cluster';
import { layersFolder, openSandbox, read } from '../sandbox';

jest.setTimeout(60_000);

const FLAT = 81;
const TIMEOUT = 5_000;
/** Says how many have connected: what a guest knows that is frozen and thawed, and no new one. */
const COUNTER = `
import socket
l = socket.create_server(('0.0.0.0', 8080))
count = 0
while True:
    s, peer = l.accept()
    count += 1
    s.sendall(str(count).encode())
    s.close()
`;

/** Forwards to the seed until `die`: from then on it reads nothing, and closes nothing. */
async function path(seed: string) {
  const [address, port] = seed.split(':');
  const ends: Socket[] = [];
  let dead = false;
  const server = createServer((near) => {
    const far = connect(Number(port), address);
    ends.push(near, far);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      from.on('error', () => undefined);
      from.on('data', (data) => void (dead || to.write(data)));
      from.on('close', () => void (dead || to.destroy()));
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    die: () => {
      dead = true;
      for (const end of ends) end.pause();
    },
    close: () => {
      for (const end of ends) end.destroy();
      server.close();
    },
  };
}

/** Ends while it is idle, after one connection. */
const MORTAL = `
import socket, time
l = socket.create_server(('0.0.0.0', 8080))
l.accept()[0].close()
time.sleep(1.5)
raise SystemExit(3)
`;
/** Milliseconds; well below the limit for the seed's answer, which is 5 s. */
const AT_ONCE = 3_500;

test('a guest that ends while the seed is asked is known to have ended at once', async () => {
  const command = ['/usr/bin/python3', '-c', MORTAL];
  const host = { name: 'web', workingDirectory: '/', command, idleTimeout: 300, timeout: 60_000 };
  const cluster = await bootCluster([host], { flat: FLAT });
  const layers = layersFolder();
  const sandbox = await openSandbox({ layers: layers.path, flat: FLAT, timeout: 60_000 });
  const way = await path(cluster.seed.address);
  try {
    cluster.host('web', (invocation) => sandbox.invoke({ ...invocation, seed: way.address }));
    const client = await cluster.client();
    const { location, realPort } = await client.locate('web', 8080);
    way.die();
    const began = performance.now();
    expect(await read(location.address!, realPort)).toBe('');
    await sandbox.logged(({ message }) => message === 'the guest has ended');
    expect(performance.now() - began).toBeLessThan(AT_ONCE);
    // It was asking.
    expect(
      await sandbox.logged(({ message }) => message?.startsWith('idle, but not suspended') === true),
    ).toMatchObject({ message: 'idle, but not suspended: it ends meanwhile' });
  } finally {
    sandbox.close();
    way.close();
    await cluster.close();
    layers.remove();
  }
});

test('the invocation returns in time, and the next one finds the guest as it was', async () => {
  const command = ['/usr/bin/python3', '-c', COUNTER];
  const host = { name: 'web', workingDirectory: '/', command, idleTimeout: 300, timeout: TIMEOUT };
  const cluster = await bootCluster([host], { flat: FLAT });
  const layers = layersFolder();
  const sandbox = await openSandbox({ layers: layers.path, flat: FLAT, timeout: TIMEOUT });
  const way = await path(cluster.seed.address);
  try {
    const outcomes: Array<{ outcome: string; took: number }> = [];
    cluster.host('web', async (invocation) => {
      const began = performance.now();
      const result = await sandbox.invoke(outcomes.length === 0 ? { ...invocation, seed: way.address } : invocation);
      outcomes.push({ outcome: result.outcome, took: performance.now() - began });
      return result;
    });
    const client = await cluster.client();
    const { location, realPort } = await client.locate('web', 8080);
    way.die();
    expect(await read(location.address!, realPort)).toBe('1');
    await sandbox.logged(({ message }) => message?.startsWith('idle, but not suspended') === true);
    const { detail } = await cluster.event('web', 'renewing');
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['renew']);
    expect(outcomes[0].took).toBeLessThan(TIMEOUT);
    expect(detail.epoch).toBe(location.epoch);
    await cluster.event('web', 'rejoined');
    const again = await client.locate('web', 8080);
    expect(again.location.epoch).toBe(location.epoch);
    expect(await read(again.location.address!, again.realPort)).toBe('2');
    expect(cluster.events.filter(({ event }) => event === 'guest-started')).toHaveLength(1);
    // The path is alive again: it rests as ever.
    await cluster.event('web', 'suspended');
  } finally {
    sandbox.close();
    way.close();
    await cluster.close();
    layers.remove();
  }
});
