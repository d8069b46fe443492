/** Who gets the signal: only a process that has a handler for it, as it would end any other one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { socketInodes } from '../../../../src/runtime/supervisor/guest/processes';
import { tellGuests } from '../../../../src/runtime/supervisor/peers/guest-signal';
import { python } from '../../../support/guests';

jest.setTimeout(30_000);

const PROGRAM = (handler: string) => `
import signal, socket, sys
signal.signal(61, ${handler})
s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))) if len(sys.argv) > 1 else None
print('ready', flush=True)
while True:
    print(sys.stdin.readline().strip(), flush=True)
`;

let server: Server;
const children: ChildProcess[] = [];
beforeAll(async () => {
  server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterAll(() => server.close());
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function start(handler: string, connects = false) {
  const { port } = server.address() as { port: number };
  const child = spawn(python, ['-c', PROGRAM(handler), ...(connects ? [String(port)] : [])], { stdio: 'pipe' });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string;
  expect(await next()).toBe('ready');
  return { pid: child.pid!, next, say: (line: string) => child.stdin.write(`${line}\n`) };
}

const CATCHES = "lambda *_: print('told', flush=True)";

test('one that has a handler is told', async () => {
  const { pid, next } = await start(CATCHES);
  expect(tellGuests([pid])).toEqual({ holders: 1, told: 1 });
  expect(await next()).toBe('told');
});

test.each(['signal.SIG_DFL', 'signal.SIG_IGN'])('one with %s is left alone', async (handler) => {
  const { pid, next, say } = await start(handler);
  expect(tellGuests([pid])).toEqual({ holders: 1, told: 0 });
  say('alive');
  expect(await next()).toBe('alive');
});

test('only those that have one of the sockets', async () => {
  const without = await start(CATCHES);
  const has = await start(CATCHES, true);
  const inodes = new Set(socketInodes(has.pid));
  expect(tellGuests([without.pid, has.pid], inodes)).toEqual({ holders: 1, told: 1 });
  expect(await has.next()).toBe('told');
  without.say('not told');
  expect(await without.next()).toBe('not told');
});

test('one that has ended is nobody', () => {
  expect(tellGuests([2 ** 22 - 1])).toEqual({ holders: 1, told: 0 });
});
