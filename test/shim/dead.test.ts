/**
 * A connection that stood ready for a guest and has ended meanwhile: connect() gives another one, and no errno of its
 * own.
 */
import { existsSync } from 'node:fs';
import { type Peer, startPeer } from './harness';

jest.setTimeout(60_000);

const PYTHON = '/usr/bin/python3';
const python = existsSync(PYTHON) ? test : test.skip;

let peer: Peer;

beforeAll(async () => {
  peer = await startPeer(14, ['plain'], 'handoff');
});
afterAll(() => peer?.close());

const SERVES = `
import socket
listener = socket.create_server(("", 7600))
print("listening", flush=True)
while True: listener.accept()[0].sendall(b"served")`;

/** The errno's name of each way to connect, or what the server said. */
const CONNECTS = `
import errno, select, socket
def blocking(sock):
  return sock.connect_ex(("api", 7600))
def later(sock):
  sock.setblocking(False)
  began = sock.connect_ex(("api", 7600))
  if began != errno.EINPROGRESS: return began
  select.select([], [sock], [])
  error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
  sock.setblocking(True)
  return error
def patient(sock):
  sock.settimeout(20)
  return sock.connect_ex(("api", 7600))
for way in blocking, later, patient:
  with socket.socket() as sock:
    error = way(sock)
    print(way.__name__, errno.errorcode[error] if error else sock.recv(9).decode())`;

python('dead connections: a new one is asked for', async () => {
  const server = peer.start('api', [PYTHON, '-c', SERVES]);
  await server.line('listening');
  await peer.tell('dead api');
  expect(await peer.run('web', [PYTHON, '-c', CONNECTS])).toMatchObject({
    stderr: '',
    stdout: 'blocking served\nlater served\npatient served\n',
  });
  await peer.tell('undead api');
  await server.stop();
});

python('a new one that is dead, too: the epoch is named, as it may have ended', async () => {
  const server = peer.start('api', [PYTHON, '-c', SERVES]);
  await server.line('listening');
  for (const state of ['direct', 'ask', 'ready']) {
    for (const command of [`${state} api`, 'doomed api']) await peer.tell(command);
    expect([state, await peer.run('web', [PYTHON, '-c', CONNECTS])]).toMatchObject([
      state,
      { stderr: '', stdout: 'blocking served\nlater served\npatient served\n' },
    ]);
  }
  for (const command of ['saved api', 'unready api', 'auto api']) await peer.tell(command);
  await server.stop();
});

// What the supervisor can say of a host that cannot be reached: see src/contract/control/errno.ts.
python.each([
  ['ECONNREFUSED', 111],
  ['ETIMEDOUT', 110],
  ['EHOSTUNREACH', 113],
  ['ENETUNREACH', 101],
])('dead connections, and no new one: %s', async (name, errno) => {
  const server = peer.start('api', [PYTHON, '-c', SERVES]);
  await server.line('listening');
  for (const command of ['dead api', `fail api ${errno}`]) await peer.tell(command);
  const { stdout } = await peer.run('web', [PYTHON, '-c', CONNECTS]);
  for (const command of ['undead api', 'fail api 0']) await peer.tell(command);
  expect(stdout).toBe(`blocking ${name}\nlater ${name}\npatient ${name}\n`);
  await server.stop();
});
