/** Guests that ask DNS by themselves, without libc: dig, c-ares, a bare socket. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';

const guest = (name: string) => readFileSync(join(__dirname, 'guests', name), 'utf8');
const node = (...args: string[]) => [process.execPath, ...args];
const echo = (name: string, more = {}) => ({ name, command: ['/usr/bin/python3', 'echo.py', '7000'], ...more });

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster(
    [
      echo('api', { aliases: ['backend'] }),
      echo('store'),
      echo('other'),
      // A server that finds its peers by c-ares.
      { name: 'asks', command: node('dns_client.js', 'serve', '8000'), idleTimeout: 400 },
    ],
    {
      files: Object.fromEntries(['echo.py', 'dns_client.js', 'dns_raw.py'].map((name) => [name, guest(name)])),
    },
  );
});
afterAll(() => cluster?.dispose());

async function exec(...command: string[]): Promise<string> {
  const run = await cluster.exec(command);
  expect(run).toMatchObject({ stderr: '', code: 0 });
  return run.stdout;
}
const addressOf = async (name: string) => (await cluster.host(name)).address;

describe('dig', () => {
  const dig = async (...args: string[]) => (await exec('/usr/bin/dig', ...args)).trim();

  test.each([
    ['UDP', []],
    ['TCP', ['+tcp']],
    ['UDP without EDNS', ['+noedns']],
  ])('asks over %s', async (_, how) => {
    const address = await addressOf('api');
    for (const name of ['api', 'backend', 'api.test', 'node-0', 'API.Test.']) {
      expect(await dig('+short', ...how, name)).toBe(address);
    }
    const full = await dig(...how, 'api');
    expect(full).toMatch(/status: NOERROR/);
    expect(full).toMatch(/flags: qr aa rd ra;/);
    expect(full).toMatch(/SERVER: 127\.0\.53\.53#53\(127\.0\.53\.53\)/);
    expect(full).not.toMatch(/WARNING|unexpected/);
    expect(await dig(...how, '-x', address, '+short')).toBe('api.');
  });

  test('a name of the cluster has nothing but an address', async () => {
    for (const type of ['AAAA', 'MX', 'TXT', 'SRV', 'TYPE65']) {
      const answer = await dig('api', type);
      expect(answer).toMatch(/status: NOERROR/);
      expect(answer).toMatch(/ANSWER: 0,/);
    }
  });

  test("what is not the cluster's is asked of the machine's nameservers", async () => {
    // Where there are none that can be reached, that is what it says.
    expect(await dig('no-such-host.invalid')).toMatch(/status: (NXDOMAIN|SERVFAIL)/);
    expect(await dig('+tcp', 'no-such-host.invalid')).toMatch(/status: (NXDOMAIN|SERVFAIL)/);
  });
});

test.each([
  ['', []],
  [', also next to a DNS server of its own', ['serve']],
])('a bare socket sees the address that it asked, over UDP and TCP%s', async (_, how) => {
  const address = await addressOf('api');
  const script = join(cluster.folder, 'dns_raw.py');
  const answers = JSON.parse(await exec('/usr/bin/python3', script, 'backend.test', ...how));
  const there = ['127.0.53.53', 53];
  expect(answers).toEqual({
    unconnected: { code: 0, address, source: there },
    connected: { code: 0, address, source: there, peer: there },
    mapped: { code: 0, address, source: ['::ffff:127.0.53.53', 53] },
    stream: { code: 0, address, peer: there },
  });
});

test("libc's own resolver functions ask the machine's nameservers, as getaddrinfo does for what it does not find", async () => {
  const script = "import ctypes; print(ctypes.CDLL('libresolv.so.2').res_query(b'api.test', 1, 1, bytes(512), 512))";
  expect(await exec('/usr/bin/python3', '-c', script)).toBe('-1\n');
});

describe('an imagined host is reached by the name that c-ares resolved', () => {
  const expected = async (name: string) => {
    const { address, state } = await cluster.host(name);
    expect(state).toBe('imagined');
    return { servers: ['127.0.53.53'], address, six: 'ENODATA', line: 'question' };
  };

  test('from a command', async () => {
    const wanted = await expected('store');
    expect(JSON.parse(await exec(...node(join(cluster.folder, 'dns_client.js'), 'store', '7000')))).toEqual(wanted);
  });

  test('from a host, which listens on no port more, and is idle afterwards', async () => {
    const wanted = await expected('other');
    const ask =
      "import socket; s = socket.create_connection(('asks', 8000)); s.sendall(b'other 7000\\n'); print(s.makefile().read())";
    expect(JSON.parse(await exec('/usr/bin/python3', '-c', ask))).toEqual(wanted);
    // It may be suspended already, with no ports at all.
    expect((await cluster.host('asks')).ports).not.toContain(53);
    await cluster.waitFor((event) => event.host === 'asks' && event.event === 'suspended');
  });
});
