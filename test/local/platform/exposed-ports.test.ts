/** Exposed ports on this machine: the one that is wanted, or the next one that is free. */
import { createServer, type Server } from 'node:net';
import { parseManifest } from '../../../src/contract/manifest';
import { bindExposed } from '../../../src/local/platform/exposed-ports';

const manifestOf = (...exposes: ReadonlyArray<Record<string, unknown>>) =>
  parseManifest({
    version: 1,
    cluster: { name: 'shop' },
    hosts: [
      { name: 'web', command: ['x'] },
      { name: 'api', command: ['x'] },
    ],
    exposes,
  });

const undo: Array<() => unknown> = [];
afterEach(() => {
  for (const step of undo.splice(0)) step();
});

function taken(): Promise<{ readonly server: Server; readonly port: number }> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () =>
      resolve({ server, port: (server.address() as { port: number }).port }),
    );
  });
}

test('a port that is taken: the next one, and what was wanted is said', async () => {
  const { server, port } = await taken();
  try {
    const [{ hosts }] = bindExposed(manifestOf({ host: 'web', port, hostPort: 80 }), undo);
    expect(hosts).toEqual([
      {
        host: 'web',
        protocol: 'tcp',
        address: '127.0.0.1',
        port: hosts[0].port,
        wanted: port,
        hostPort: 80,
        serverNames: [],
      },
    ]);
    expect(hosts[0].port).toBeGreaterThan(port);
    // What is bound here is taken for the next cluster.
    const [other] = bindExposed(manifestOf({ host: 'web', port: hosts[0].port }), undo);
    expect(other.hosts[0].port).toBeGreaterThan(hosts[0].port);
  } finally {
    server.close();
  }
});

test('several hosts on one port have one descriptor', () => {
  const bound = bindExposed(
    manifestOf(
      { host: 'web', port: 38_443, serverNames: ['web.test'] },
      { host: 'api', port: 38_443, serverNames: ['api.test'] },
      { host: 'api', port: 38_080 },
    ),
    undo,
  );
  expect(bound.map(({ key, hosts }) => [key, hosts.map(({ host }) => host)])).toEqual([
    ['tcp:38443', ['web', 'api']],
    ['tcp:38080', ['api']],
  ]);
  expect(undo).toHaveLength(2);
});

test('no port is free: an error that names it', () => {
  const high = bindExposed(manifestOf({ host: 'web', port: 65_535 }), undo);
  expect(high[0].hosts[0].port).toBe(65_535);
  expect(() => bindExposed(manifestOf({ host: 'web', port: 65_535 }), undo)).toThrow(
    /port 65535 of 127\.0\.0\.1 cannot be exposed: .*EADDRINUSE/,
  );
});

test('a UDP port that is taken: the next one; the same port of TCP is another', () => {
  const [tcp, udp] = bindExposed(
    manifestOf({ host: 'web', port: 38_053 }, { host: 'web', port: 38_053, protocol: 'udp' }),
    undo,
  );
  expect(tcp.key).toBe('tcp:38053');
  expect(udp).toMatchObject({ key: 'udp:38053', hosts: [{ protocol: 'udp', port: 38_053 }] });
  const [next] = bindExposed(manifestOf({ host: 'api', port: 38_053, protocol: 'udp' }), undo);
  expect(next.hosts[0]).toMatchObject({ wanted: 38_053, port: 38_054 });
});
