/** Where hosts do not reach each other: guests that look at their peer, and supervisors that are busy or gone. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { has, type Peer, passed, startEcho, startPeer } from './harness';

jest.setTimeout(60_000);

const PYTHON = '/usr/bin/python3';
const NGINX = '/usr/sbin/nginx';
const python = existsSync(PYTHON) ? test : test.skip;
const nginx = existsSync(NGINX) && has('curl') ? test : test.skip;

let peer: Peer;

beforeAll(async () => {
  peer = await startPeer(224, ['plain', 'trap'], 'handoff');
});
afterAll(() => peer?.close());

const WAYS = ['ask', 'direct', 'ready'];

async function inState(state: string, run: () => Promise<void>) {
  await peer.tell(`${state} api`);
  try {
    await run();
  } finally {
    for (const command of ['unready api', 'auto api']) await peer.tell(command);
  }
}

nginx('nginx logs who it serves, to whom it is an upstream, and as what', async () => {
  const conf = join(peer.folder, 'nginx.conf');
  const log = '$remote_addr $server_addr:$server_port';
  writeFileSync(
    conf,
    `daemon off; user root; worker_processes 2; pid ${peer.folder}/nginx.pid; error_log stderr crit;
     events { worker_connections 64; }
     http {
       log_format plain '${log}'; access_log ${peer.folder}/access.log plain;
       client_body_temp_path ${peer.folder}/a; proxy_temp_path ${peer.folder}/b; fastcgi_temp_path ${peer.folder}/c;
       uwsgi_temp_path ${peer.folder}/d; scgi_temp_path ${peer.folder}/e;
       server { listen 80; listen [::]:80; location / { return 200 "$remote_addr to $server_addr:$server_port"; } }
       server { listen 8080 reuseport; location / { proxy_pass http://db:81; } }
     }`,
  );
  const origin = peer.start('db', [PYTHON, '-u', '-c', ORIGIN, '81']);
  await origin.line('listening');
  const server = peer.start('api', [NGINX, '-p', peer.folder, '-c', conf]);
  const fetch = async (url: string) => {
    const { stdout, stderr } = await peer.run('web', ['curl', '-sS', url]);
    return stdout + stderr;
  };
  try {
    for (const state of WAYS)
      await inState(state, async () => {
        expect(await fetch('http://api/')).toBe('100.64.1.1 to 100.64.1.2:80\n');
        expect(await fetch('http://api:8080/')).toBe('100.64.1.2 to 100.64.1.3:81\n');
      });
  } finally {
    server.process.kill('SIGQUIT'); // its workers too
    expect(await server.ended).toMatchObject({ code: 0, stderr: '' });
    await origin.stop();
  }
  const lines = readFileSync(join(peer.folder, 'access.log'), 'utf8').trim().split('\n').sort();
  const each = (line: string) => Array<string>(WAYS.length).fill(line);
  expect(lines).toEqual([...each('100.64.1.1 100.64.1.2:80'), ...each('100.64.1.1 100.64.1.2:8080')]);
});

const ORIGIN = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    text = "%s to %s:%d" % (self.client_address[0], *self.connection.getsockname()[:2])
    self.send_response(200)
    self.end_headers()
    self.wfile.write(text.encode())
  def log_message(self, *_): pass
server = http.server.HTTPServer(("", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()`;

const ACCEPTS = `
import socket, sys
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
while True:
  got, who = listener.accept()
  with got:
    same = who[:2] == got.getpeername()[:2]
    got.sendall(repr((who[:2], got.getsockname()[:2], same, got.recv(99).decode())).encode())`;

const CONNECTS = `
import socket, sys
family, address = (socket.AF_INET6, "::ffff:100.64.1.2") if sys.argv[2] == "six" else (socket.AF_INET, "api")
with socket.socket(family) as sock:
  sock.settimeout(10 if sys.argv[3] == "timeout" else None)
  sock.connect((address, int(sys.argv[1])))
  own = sock.getsockname()
  sock.sendall(repr(own[:2]).encode())
  says = eval(sock.recv(999))
  print(sock.getpeername()[:2], says[0][1] == own[1], says[0][0], says[1], says[2], says[3] == repr(own[:2]))`;

python('python sees the same connection from both ends, in both families', async () => {
  const server = peer.start('api', [PYTHON, '-c', ACCEPTS, '7300']);
  await server.line('listening');
  for (const state of WAYS)
    await inState(state, async () => {
      for (const [family, shown] of [
        ['four', '100.64.1.2'],
        ['six', '::ffff:100.64.1.2'],
      ])
        for (const way of ['blocking', 'timeout']) {
          const { stdout, stderr } = await peer.run('web', [PYTHON, '-c', CONNECTS, '7300', family, way]);
          expect({ stdout, stderr }).toEqual({
            stdout: `('${shown}', 7300) True ::ffff:100.64.1.1 ('::ffff:100.64.1.2', 7300) True True\n`,
            stderr: '',
          });
        }
    });
  await server.stop();
});

test('a supervisor that is busy does not hold up who asked not to wait', async () => {
  const server = await startEcho(peer);
  const guest = await peer.program('web', 'many_pending', ['api', server.port, '100', '1'], 'trap');
  peer.pause();
  await guest.line('pending');
  peer.resume();
  passed(await guest.ended);
  await server.guest.stop();
});

const TELLS = `
import socket
listener = socket.create_server(("", 7500))
print("listening", flush=True)
while True: print("got", listener.accept()[0].recv(9), flush=True)`;

const SAYS = `
import select, socket, sys
sock = socket.socket()
sock.setblocking(False)
sock.connect_ex(("api", 7500))
print("asked", flush=True)
select.select([], [sock], [])
sock.sendall(sys.argv[1].encode())`;

python('a connection that a busy supervisor has ready too late is not used', async () => {
  const server = peer.start('api', [PYTHON, '-c', TELLS]);
  await server.line('listening');
  await inState('ready', async () => {
    peer.pause();
    const guest = peer.start('web', [PYTHON, '-c', SAYS, 'first']);
    await guest.line('asked');
    peer.resume();
    passed(await guest.ended);
    passed(await peer.run('web', [PYTHON, '-c', SAYS, 'second']));
  });
  expect([await server.line('got'), await server.line('got')]).toEqual(["got b'first'", "got b'second'"]);
  await server.stop();
});

const LATE = `
import socket, sys
listener = socket.create_server(("", 7400))
print("listening", flush=True)
for _ in range(2):
  sys.stdin.readline()
  got, who = listener.accept()
  try: says = got.recv(9)
  except OSError as error: says = error.errno
  print("got", who[0], says, flush=True)`;

python('a connection whose supervisor is gone before it is accepted has ended', async () => {
  const lonely = await startPeer(222, ['plain'], 'handoff');
  try {
    const server = lonely.start('api', [PYTHON, '-c', LATE]);
    await server.line('listening');
    const client = `
import socket, sys
two = [socket.create_connection(("api", 7400)) for _ in range(2)]
for one in two: one.sendall(b"hello")
print("connected", flush=True)
sys.stdin.readline()`;
    const guest = lonely.start('web', [PYTHON, '-c', client]);
    await guest.line('connected');
    server.process.stdin?.write('\n');
    expect(await server.line('got')).toBe("got 100.64.1.1 b'hello'");
    await lonely.halt();
    server.process.stdin?.write('\n');
    expect(await server.line('got')).toMatch(/^got 100\.64\.1\.1 (b''|104)$/);
    expect((await server.ended).code).toBe(0);
  } finally {
    await lonely.close();
  }
});
