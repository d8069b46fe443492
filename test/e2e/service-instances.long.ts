/** A service of a host instance and host functions, under real load: nginx, and wrk in front of it. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { bootCluster, type TestCluster } from '../support/cluster';
import { eventually } from '../support/eventually';
import { python } from '../support/guests';
import { family, mentioning, signal } from '../support/processes';

/** Paths are relative to the prefix. */
const CONFIGURATION = `
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 1000000;
  server { listen 80; location / { return 200 "$hostname"; } }
}
`;
/** Holds so many connections to the service, each kept alive, and prints how many are with each host; until its input ends. */
const HOLD = `
import collections, http.client, sys
held, seen = [], collections.Counter()
for _ in range(int(sys.argv[1])):
    c = http.client.HTTPConnection("api", 80, timeout=30)
    c.request("GET", "/")
    seen[c.getresponse().read().decode()] += 1
    held.append(c)
import json; print(json.dumps(seen), flush=True)
sys.stdin.read()
`;
/**
 * One connection after the other until its input ends; prints `begun` once the instance has answered, and at its end which
 * hosts answered, and how connects failed.
 */
const CHURN = `
import collections, errno, json, socket, sys, threading
seen, failed, broken = collections.Counter(), [], 0
begun, ends = threading.Event(), threading.Event()
def run():
    global broken
    while not ends.is_set():
        try: s = socket.create_connection(("api", 80), 30)
        except OSError as e: failed.append(errno.errorcode.get(e.errno, str(e))); continue
        try:
            s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            answer = b""
            while data := s.recv(4096): answer += data
            if answer: seen[answer.split(b"\\r\\n\\r\\n")[1].decode()] += 1
            else: broken += 1
            if seen["vm"]: begun.set()
        except OSError: broken += 1
        s.close()
threads = [threading.Thread(target=run) for _ in range(int(sys.argv[1]))]
for t in threads: t.start()
begun.wait()
print("begun", flush=True)
sys.stdin.read()
ends.set()
for t in threads: t.join()
print(json.dumps({"seen": seen, "failed": failed, "broken": broken}))
`;
const EACH = 4;
/** Of `CHURN`. */
const THREADS = 4;
const FUNCTIONS = ['f1', 'f2', 'f3'];

describe.each(['flat', 'nat'])('network %s', (network) => {
  let cluster: TestCluster;
  beforeAll(async () => {
    const command = ['nginx', '-p', '/tmp', '-c', '/var/task/nginx.conf', '-e', 'stderr'];
    const functions = FUNCTIONS.map((name) => ({ name, command, idleTimeout: 600_000 }));
    cluster = await bootCluster([...functions, { name: 'vm', kind: 'instance' }], {
      name: `service-instances-${network}`,
      files: { 'nginx.conf': CONFIGURATION },
      services: [{ name: 'api', hosts: FUNCTIONS, instances: ['vm'], maxConnections: EACH }],
      upArguments: ['--network', network],
    });
  });
  afterAll(() => cluster?.dispose());

  async function join(): Promise<void> {
    const { folder } = cluster;
    // The seed shows the ports of a killed instance until it gives the instance up.
    const before = await cluster.host('vm');
    cluster.follow(['join', '--name', 'vm', '--', 'nginx', '-p', folder, '-c', `${folder}/nginx.conf`, '-e', 'stderr']);
    await eventually(async () => {
      const { epoch, ports } = await cluster.host('vm');
      return epoch !== before.epoch && ports.includes(80);
    }, 20_000);
  }
  /** Its supervisor and its guests at once, as when the machine is switched off. */
  function kill(): void {
    const ours = new Set(mentioning(cluster.folder));
    const joins = mentioning('--name vm').filter((pid) => ours.has(pid));
    signal([...new Set(joins.flatMap((pid) => family(pid)))], 'SIGKILL');
  }
  const program = (text: string, ...args: string[]) => {
    const child = cluster.start([python, '-u', '-c', text, ...args]);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const next = async () => String((await lines.next()).value);
    const end = async () => {
      const closed = once(child, 'close');
      child.stdin!.end();
      return closed;
    };
    return { next, end, child };
  };
  const states = async () => Object.fromEntries((await cluster.ps()).map(({ name, state }) => [name, state]));

  test('connections go to the instance while it has room; when it is full they spill to functions', async () => {
    await join();
    const few = program(HOLD, String(EACH - 1));
    expect(JSON.parse(await few.next())).toEqual({ vm: EACH - 1 });
    expect(await states()).toEqual({ f1: 'imagined', f2: 'imagined', f3: 'imagined', vm: 'running' });
    const more = program(HOLD, String(1 + EACH + 1));
    const spilt = JSON.parse(await more.next());
    // A report of the instance's own connections may come late: it may have a few too many.
    expect(spilt.vm).toBeGreaterThanOrEqual(1);
    expect(spilt.f1).toBeGreaterThanOrEqual(1);
    expect(await states()).toMatchObject({ f3: 'imagined', vm: 'running' });
    await Promise.all([few.end(), more.end()]);
    // There is room again, as soon as the instance has reported it.
    await eventually(async () => {
      const again = program(HOLD, '2');
      const { vm } = JSON.parse(await again.next());
      await again.end();
      return vm === 2;
    }, 20_000);
  });

  test('the instance is killed under the load of wrk: no connect fails, functions take over, and it serves when it is back', async () => {
    const churn = program(CHURN, String(THREADS));
    expect(await churn.next()).toBe('begun');
    const wrk = cluster.exec(['wrk', '-t', '2', '-c', String(3 * EACH), '-d', '6', '--timeout', '20', 'http://api/']);
    await eventually(
      async () => Object.values(await states()).filter((state) => state === 'running').length >= 3,
      20_000,
    );
    kill();
    const { stdout, code } = await wrk;
    await churn.end();
    const { seen, failed, broken } = JSON.parse(await churn.next());
    expect(failed).toEqual([]);
    // Of each thread: the one at that moment, and the next one, if the supervisor had not seen the end of the instance yet.
    expect(broken).toBeLessThanOrEqual(2 * THREADS);
    expect(Object.keys(seen)).toEqual(expect.arrayContaining(['vm', 'f1']));
    expect(code).toBe(0);
    // It is printed when one of the four is not 0.
    const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout) ?? [
      0, 0, 0, 0, 0,
    ];
    expect([Number(errors[1]), Number(errors[4])]).toEqual([0, 0]);
    expect(Number(/(\d+) requests in/.exec(stdout)![1])).toBeGreaterThan(100);
    // The network of a machine that is switched off says nothing: the seed misses its signs of life.
    await cluster.waitFor(({ host, event }) => host === 'vm' && event === 'disconnected', 30_000);
    await join();
    const again = program(HOLD, '1');
    expect(JSON.parse(await again.next())).toEqual({ vm: 1 });
    await again.end();
  });
});
