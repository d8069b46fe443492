/** Hosts that listen before they can serve, and guests that stop working without ending. */
import { bootCluster, type TestCluster } from '../support/cluster';

const python = '/usr/bin/python3';

/**
 * Listens on port 80 at once, and serves well 1.5 s later. Then it writes
 * "serving".
 */
const SLOW = `
import http.server, os, threading
ready = False
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global ready
        if self.path == '/sick': open('/tmp/sick', 'w').close()
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b'well' if ready else b'too early')
    def log_message(self, *args): pass
def later():
    global ready
    ready = True
    open('/tmp/ready', 'w').close()
    print('serving', flush=True)
threading.Timer(1.5, later).start()
http.server.ThreadingHTTPServer(('0.0.0.0', 80), Handler).serve_forever()
`;
const slow = [python, '-u', '-c', SLOW];
/** Fails once the guest is sick. */
const well = ['/bin/sh', '-c', 'test ! -e /tmp/sick || { echo it is sick; exit 1; }'];

let cluster: TestCluster;
beforeAll(async () => {
  const looks = { interval: 100, timeout: 2_000 };
  cluster = await bootCluster([
    { name: 'by-http', command: slow, readyWhen: { kind: 'http', path: '/', ...looks } },
    {
      name: 'by-command',
      command: slow,
      readyWhen: { kind: 'command', command: ['/bin/test', '-e', '/tmp/ready'], ...looks },
    },
    { name: 'by-log', command: slow, readyWhen: { kind: 'log', pattern: '^serv' } },
    {
      name: 'never',
      command: slow,
      readyWhen: { kind: 'command', command: ['/bin/sh', '-c', 'echo no luck >&2; exit 7'], ...looks },
      allocationTimeout: 2_500,
    },
    {
      name: 'sick',
      command: slow,
      readyWhen: { kind: 'log', pattern: '^serv' },
      livenessCommand: well,
      livenessInterval: 1_000,
      restartPolicy: 'on-failure',
      idleTimeout: 60_000,
    },
  ]);
});
afterAll(() => cluster?.dispose());

const get = async (host: string, path = '/') =>
  (await cluster.exec(['curl', '-sS', '--max-time', '20', `http://${host}${path}`])).stdout;
const of =
  (host: string, event: string, after = 0) =>
  (e: { host: string | null; event: string; time: number }) =>
    e.host === host && e.event === event && e.time > after;

test.each(['by-http', 'by-command', 'by-log'])('the first request waits until the host is ready (%s)', async (host) => {
  expect(await get(host)).toBe('well');
  const { detail } = await cluster.waitFor(of(host, 'ready'));
  expect(detail.readyMs).toBeGreaterThan(1_000);
  // Suspended or not, it stays ready.
  expect(await get(host)).toBe('well');
});

test('a host that never becomes ready: ETIMEDOUT, with what the look at it found', async () => {
  const { stderr } = await cluster.imaginary(['exec', '--why', '--', 'curl', '-sS', 'http://never/']);
  expect(stderr).toContain("'never' is not ready: '/bin/sh' exited with code 7: no luck");
  const { detail } = await cluster.waitFor(of('never', 'not-ready'));
  expect(detail.reason).toBe("'/bin/sh' exited with code 7: no luck");
});

test('a guest whose livenessCommand fails is ended, and started again', async () => {
  expect(await get('sick', '/sick')).toBe('well');
  const { detail, time } = await cluster.waitFor(of('sick', 'exited'));
  expect(detail.reason).toContain('its livenessCommand failed 3 times');
  expect(detail.reason).toContain('it is sick');
  await cluster.waitFor(of('sick', 'ready', time));
});
