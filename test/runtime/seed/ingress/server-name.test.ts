/** The server name is read out of real TLS hellos, and out of nothing else. */
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import { serverNameOf, withName } from '../../../../src/runtime/seed/ingress/server-name';

/** What a TLS client sends first. */
function helloOf(servername: string | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (data) => {
        resolve(data);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      connect({ port, host: '127.0.0.1', servername }).on('error', () => undefined);
    });
    server.on('error', reject);
  });
}

let hello: Buffer;
beforeAll(async () => {
  hello = await helloOf('Api.Example.com');
});

test('a hello names its server, in lower case', () => {
  expect(serverNameOf(hello)).toBe('api.example.com');
});

test('a hello without a name has none', async () => {
  expect(serverNameOf(await helloOf(''))).toBeUndefined();
});

test('every prefix of a hello, and every hello with one byte changed, is read without an error', () => {
  for (let i = 0; i < hello.length; i++) {
    const cut = serverNameOf(hello.subarray(0, i));
    expect([undefined, 'api.example.com']).toContain(cut);
    for (const value of [0, 1, 127, 255]) {
      const changed = Buffer.from(hello);
      changed[i] = value;
      expect(() => serverNameOf(changed)).not.toThrow();
    }
  }
  expect(serverNameOf(new Uint8Array())).toBeUndefined();
});

test('a name before a wildcard, a wildcard for one label', () => {
  const [api, any, shop] = [['api.example.com'], ['*.example.com'], ['shop.test', 'www.shop.test']].map(
    (serverNames) => ({ serverNames }),
  );
  const all = [any, api, shop];
  expect(withName(all, 'api.example.com')).toBe(api);
  expect(withName(all, 'other.example.com')).toBe(any);
  expect(withName(all, 'www.shop.test')).toBe(shop);
  for (const name of ['example.com', 'a.b.example.com', 'shop.test.', '*', ''])
    expect(withName(all, name)).toBeUndefined();
});
