/** A chain of hosts is started as a whole, once the seed has learnt it: real proxies, each of which connects to the next. */
import type { ClusterEdge } from '../../src/contract/control/edges';
import type { ClusterEvent } from '../../src/contract/control/from-seed';
import { bootCluster, EACH_TRANSPORT, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';
const PROXY = [
  'import http.server, sys, urllib.request',
  'class Handler(http.server.BaseHTTPRequestHandler):',
  '    def do_GET(self):',
  '        nobody = len(sys.argv) < 2 or self.path == "/alone"',
  '        body = b"the end" if nobody else urllib.request.urlopen("http://%s/" % sys.argv[1]).read()',
  '        self.send_response(200)',
  '        self.send_header("Content-Length", str(len(body)))',
  '        self.end_headers()',
  '        self.wfile.write(body)',
  '    def log_message(self, *_): pass',
  'http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()',
].join('\n');

const NAMES = ['a', 'b', 'c'];
const host = (name: string, next: string | undefined, more = {}) => ({
  name,
  command: [python, '-u', '/var/task/proxy.py', ...(next ? [next] : [])],
  idleTimeout: 700,
  releaseTimeout: 600_000,
  ...more,
});

describe.each(EACH_TRANSPORT)('%s', (network, upArguments) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await bootCluster(
      [
        host('early', 'late', { connectsTo: ['late'], idleTimeout: 60_000 }),
        host('late', undefined, { idleTimeout: 60_000 }),
        host('a', 'b'),
        host('b', 'c'),
        host('c', undefined),
        host('declares', 'c', { connectsTo: ['c'], prefetch: false }),
        host('learns-not', 'c', { prefetch: false }),
      ],
      { files: { 'proxy.py': PROXY }, upArguments },
    );
  });
  afterAll(() => cluster?.dispose());

  const get = async (url: string) => (await cluster.exec(['curl', '-sS', url])).stdout;
  const edges = async (): Promise<ClusterEdge[]> =>
    JSON.parse((await cluster.imaginary(['edges', '--json'])).stdout).edges;
  const edge = async (from: string, to: string) => (await edges()).find((one) => one.from === from && one.to === to);
  /** Ends hosts, so that the next connect allocates them. */
  const stop = (names: readonly string[]) => Promise.all(names.map((name) => cluster.imaginary(['stop', name])));
  const last = (events: readonly ClusterEvent[], name: string, event: string) =>
    events.filter((one) => one.host === name && one.event === event).at(-1)!;

  test('the first request through a chain teaches it; the next one starts all of it at once', async () => {
    expect(await get('http://a/')).toBe('the end');
    expect(await edge('a', 'b')).toMatchObject({ kind: 'learnt', hits: 0, misses: 0 });
    await stop(NAMES);
    expect(await get('http://a/')).toBe('the end');
    const events = await cluster.events();
    expect(last(events, 'b', 'allocating').detail).toMatchObject({ by: 'a', port: null, why: "prefetched with 'a'" });
    // Before the host that is connected to first could run.
    const running = last(events, 'a', 'running').time;
    for (const name of ['b', 'c']) expect(last(events, name, 'allocating').time).toBeLessThan(running);
    for (const [from, to] of [
      ['a', 'b'],
      ['b', 'c'],
    ]) {
      expect(await edge(from, to)).toEqual({
        ...{ from, to, kind: 'learnt', hits: 1, misses: 0, wastedMs: 0, wastedStarts: 0 },
      });
    }
    expect((await cluster.imaginary(['edges'])).stdout).toMatch(/^a +b +learnt +1 +0 +0/m);
  });

  test('a host that nobody connects to goes idle as any other does: a miss, with its cost', async () => {
    await stop(NAMES);
    const { time } = (await cluster.events()).at(-1)!;
    expect(await get('http://a/alone')).toBe('the end');
    await cluster.waitFor((e) => e.time > time && e.host === 'b' && e.event === 'suspended');
    // That of 'c' is the guess of 'b', which was wrong as well.
    await cluster.waitFor((e) => e.time > time && e.host === 'c' && e.event === 'suspended');
    const { misses, wastedStarts, wastedMs } = (await edge('a', 'b'))!;
    expect([misses, wastedStarts]).toEqual([1, 1]);
    expect(wastedMs).toBeGreaterThan(700);
  });

  test('a declared edge needs no first request, and learning may be off', async () => {
    await stop(NAMES);
    expect(await get('http://declares/alone')).toBe('the end');
    await cluster.waitFor((e) => e.host === 'c' && e.detail.why === "prefetched with 'declares'");
    expect(await get('http://learns-not/')).toBe('the end');
    expect(await edge('learns-not', 'c')).toBeUndefined();
    expect(await edge('declares', 'c')).toMatchObject({ kind: 'declared' });
  });

  test('a host that was started ahead is not located, where supervisors make the connections', async () => {
    expect(await get('http://early/alone')).toBe('the end');
    await cluster.waitFor((e) => e.host === 'late' && e.event === 'running');
    expect(await get('http://early/')).toBe('the end');
    await cluster.waitFor((e) => e.host === 'early' && e.event === 'prefetch-used');
    const located = (await cluster.events()).filter((e) => e.host === 'late' && e.event === 'connected');
    expect(located).toHaveLength(network === 'flat' ? 1 : 0);
    expect(await edge('early', 'late')).toMatchObject({ hits: 1, misses: 0 });
    // The next one is a connection like any other.
    expect(await get('http://early/')).toBe('the end');
  });
});
