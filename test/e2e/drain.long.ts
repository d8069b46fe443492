/** How hosts end and are renewed, with real guests: nothing that they want to save is lost. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootCluster, type TestCluster } from '../support/cluster';
import { redisServer } from '../support/guests';

/** Serves on port 80. With SIGTERM it writes for a second; or it ignores it. */
const STUBBORN = `
import http.server, signal, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'well')
    def log_message(self, *args): pass
def end(*_):
    print('caught SIGTERM', flush=True)
    time.sleep(1)
    print('all is written', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[1] == 'never' else end)
http.server.ThreadingHTTPServer(('0.0.0.0', 80), Handler).serve_forever()
`;
const stubborn = (how: 'never' | 'late') => ['/usr/bin/python3', '-u', '-c', STUBBORN, how];
/** Nothing is saved but by the command `save`. */
const save = ['/bin/sh', '-c', 'echo "saves: $IMAGINARY_REASON" && redis-cli save'];

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await bootCluster([
    { name: 'kept', command: redisServer, onRelease: save, idleTimeout: 500, releaseTimeout: 1_000 },
    {
      name: 'renewed',
      command: redisServer,
      onDrain: save,
      ...{ timeout: 8_000, drainTimeout: 2_000, stopTimeout: 1_000, idleTimeout: 60_000 },
    },
    { name: 'late', command: stubborn('late'), stopTimeout: 20_000 },
    { name: 'stubborn', command: stubborn('never'), stopTimeout: 1_500 },
    {
      name: 'hanging',
      command: stubborn('late'),
      onRelease: ['/bin/sh', '-c', 'echo waits for ever; sleep 100'],
      drainTimeout: 1_000,
    },
    {
      name: 'asleep',
      command: stubborn('late'),
      onRelease: ['/bin/sh', '-c', 'echo good night'],
      idleTimeout: 200,
    },
  ]);
});
afterAll(() => cluster?.dispose());

const run = async (...command: string[]) => {
  const { code, stdout, stderr } = await cluster.exec(command);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
};
const get = (host: string) => run('curl', '-sS', '--max-time', '20', `http://${host}/`);
const of =
  (host: string, event: string, after = 0) =>
  (e: { host: string | null; event: string; time: number }) =>
    e.host === host && e.event === event && e.time > after;
const stop = async (host: string) => {
  const { code, stderr } = await cluster.imaginary(['stop', host]);
  if (code !== 0) throw new Error(stderr);
  const began = await cluster.waitFor(of(host, 'ending'));
  const ended = await cluster.waitFor(of(host, 'released'));
  return ended.time - began.time;
};

test('what a Redis saves before its release is there in its next life', async () => {
  expect(await run('redis-cli', '-h', 'kept', 'SET', 'color', 'green')).toBe('OK');
  const { epoch } = await cluster.host('kept');
  const { detail, time } = await cluster.waitFor(of('kept', 'command-done'));
  expect(detail).toMatchObject({ command: 'onRelease', why: 'released' });
  await cluster.waitFor(of('kept', 'released', time));
  expect(await run('redis-cli', '-h', 'kept', 'GET', 'color')).toBe('green');
  expect((await cluster.host('kept')).epoch).toBeGreaterThan(epoch!);
  expect(await cluster.logs('kept')).toContain('saves: released');
});

test('a Redis saves before each renewal, and its open connections go on', async () => {
  const client = cluster.start(['redis-cli', '-h', 'renewed']);
  let said = '';
  client.stdout!.setEncoding('utf8').on('data', (text: string) => (said += text));
  const answer = async (command: string, text: string) => {
    client.stdin!.write(`${command}\n`);
    while (!said.includes(text)) await new Promise((heard) => client.stdout!.once('data', heard));
  };
  await answer('SET color blue', 'OK');
  const { epoch } = await cluster.host('renewed');
  const { detail, time } = await cluster.waitFor(of('renewed', 'command-done'));
  expect(detail).toMatchObject({ command: 'onDrain', why: 'renewal' });
  await cluster.waitFor(of('renewed', 'rejoined', time));
  await answer('GET color', 'blue');
  expect((await cluster.host('renewed')).epoch).toBe(epoch);
  expect(await cluster.logs('renewed')).toContain('saves: renewal');
  client.stdin!.end();
});

test('a guest that catches SIGTERM has the time that it needs', async () => {
  expect(await get('late')).toBe('well');
  const took = await stop('late');
  expect(took).toBeGreaterThan(1_000);
  expect(took).toBeLessThan(10_000);
  expect(await cluster.logs('late')).toMatch(/caught SIGTERM$.*all is written$/ms);
});

test('a guest that ignores SIGTERM is killed after stopTimeout', async () => {
  expect(await get('stubborn')).toBe('well');
  const took = await stop('stubborn');
  expect(took).toBeGreaterThan(1_490);
  expect(took).toBeLessThan(6_000);
});

test('a command that hangs is ended after drainTimeout, which operators see; then the guest ends as ever', async () => {
  expect(await get('hanging')).toBe('well');
  expect(await stop('hanging')).toBeGreaterThan(2_000);
  const { detail } = await cluster.waitFor(of('hanging', 'command-failed'));
  expect(detail).toMatchObject({ command: 'onRelease', reason: "'/bin/sh' took longer than 1000 ms" });
  expect(await cluster.logs('hanging')).toMatch(/waits for ever$.*onRelease failed.*all is written$/ms);
});

test('`imaginary down` releases hosts in order, also one that is suspended', async () => {
  expect(await get('late')).toBe('well');
  expect(await get('asleep')).toBe('well');
  await cluster.waitFor(of('asleep', 'suspended'));
  expect((await cluster.down()).code).toBe(0);
  const logOf = (host: string) => readFileSync(join(cluster.state, 'logs', `${host}.log`), 'utf8');
  expect(logOf('asleep')).toMatch(/"good night".*"caught SIGTERM".*"all is written"/s);
  expect(logOf('late').match(/"line":"all is written"/g)).toHaveLength(2);
});
