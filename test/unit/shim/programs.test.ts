/** The regression programs of src/shim/test/programs under the shim, one peer for all. */
import { type Guest, type Peer, type Result, startPeer } from './harness';

jest.setTimeout(120_000);

let peer: Peer;
let port = 5000;

beforeAll(async () => {
  peer = await startPeer(80, ['plain', 'trap']);
});
afterAll(() => peer?.close());

function passed(result: Result) {
  expect(result).toMatchObject({ stderr: '', code: 0 });
}

/** A listening echo server on `api`, on a port that no test had before. */
async function echo(address = '0.0.0.0', host = 'api'): Promise<{ port: string; guest: Guest }> {
  const own = String(++port);
  const guest = await peer.program(host, 'echo', [address, own]);
  await guest.line('listening');
  return { port: own, guest };
}

/** Runs a program that connects to `api`, which answers only when the program says that it is pending. */
async function pendingProgram(name: string, more: readonly string[] = [], rounds = 1): Promise<Result> {
  const server = await echo();
  await peer.tell('ask api');
  await peer.tell('hold api');
  const guest = await peer.program('web', name, ['api', server.port, ...more], 'trap');
  try {
    for (let round = 0; round < rounds; round++) {
      await guest.line('pending');
      await peer.tell('go api');
      if (round + 1 < rounds) await peer.tell('hold api');
    }
    return await guest.ended;
  } finally {
    await peer.tell('go api');
    await peer.tell('auto api');
    await server.guest.stop();
  }
}

test('names', async () => {
  passed(await (await peer.program('web', 'names', [], 'trap')).ended);
});

describe('a connect that has to wait', () => {
  test('ends connected, however the program waits', async () => {
    passed(await pendingProgram('nonblocking', ['0']));
  });
  test.each([
    ['ECONNREFUSED', 111],
    ['ETIMEDOUT', 110],
    ['EHOSTUNREACH', 113],
  ])('ends with %s, however the program waits', async (_, errno) => {
    await peer.tell(`fail api ${errno}`);
    passed(await pendingProgram('nonblocking', [String(errno)]));
    await peer.tell('fail api 0');
  });
  test('leaves the other calls on the descriptor as they are', async () => {
    passed(await pendingProgram('pending_calls'));
  });
  test('may be given up, and its number used for something else', async () => {
    passed(await pendingProgram('close_pending'));
  });
  test('survives fork, vfork and posix_spawn', async () => {
    passed(await pendingProgram('fork_pending'));
  });
  test('200 at once, several times, leave nothing behind', async () => {
    passed(await pendingProgram('many_pending', ['200', '1']));
  });
});
