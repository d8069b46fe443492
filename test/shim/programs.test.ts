/** The regression programs of test/shim/programs under the shim, one peer for all of a network. */
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { buildProgram, type Network, type Peer, passed, type Result, startEcho, startPeer } from './harness';

jest.setTimeout(120_000);

const NETWORKS: readonly [Network, number][] = [
  ['flat', 230],
  ['handoff', 228],
];

describe.each(NETWORKS)('network %s', (network, flat) => {
  let peer: Peer;

  beforeAll(async () => {
    peer = await startPeer(flat, ['plain', 'trap'], network);
  });
  afterAll(() => peer?.close());

  /** Runs a program that connects to `api`, which answers only when the program says that it is pending. */
  async function pendingProgram(name: string, more: readonly string[] = [], rounds = 1): Promise<Result> {
    const server = await startEcho(peer);
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

  test.each(['names', 'names_others', 'names_later'])('%s', async (name) => {
    passed(await (await peer.program('web', name, [], 'trap')).ended);
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
      passed(await pendingProgram('fork_pending', network === 'handoff' ? ['apart'] : []));
    });
    test('200 at once', async () => {
      passed(await pendingProgram('many_pending', ['200', '1']));
    });
    test('is ended by a signal or SO_SNDTIMEO, and goes on', async () => {
      passed(await pendingProgram('interrupted'));
    });
    test('needs no thread that could not be started any more', async () => {
      passed(await pendingProgram('no_threads', [], 2));
    });
    test('survives that the program closes all descriptors', async () => {
      const server = await startEcho(peer);
      await peer.tell('ask api');
      passed(await (await peer.program('web', 'closes_all', ['api', server.port], 'trap')).ended);
      await peer.tell('auto api');
      await server.guest.stop();
    });
    test('blocks when it is to block', async () => {
      passed(await pendingProgram('blocking', ['0']));
      await peer.tell('fail api 110');
      passed(await pendingProgram('blocking', ['110']));
      await peer.tell('fail api 0');
    });
  });

  test('10,000 connects that wait leave neither descriptors nor memory behind', async () => {
    const server = await startEcho(peer);
    await peer.tell('ask api');
    passed(await (await peer.program('web', 'many_pending', ['api', server.port, '200', '50'])).ended);
    await peer.tell('auto api');
    await server.guest.stop();
  });

  const states = network === 'handoff' ? ['ask', 'direct', 'ready'] : ['ask', 'direct'];
  test.each(states)('threads that connect, give up, fork and spawn at once (%s)', async (state) => {
    const server = await startEcho(peer);
    await peer.tell(`${state} api`);
    passed(await (await peer.program('web', 'storm', ['api', server.port, '2'], 'trap')).ended);
    await peer.tell('unready api');
    await peer.tell('auto api');
    await server.guest.stop();
  });

  if (network === 'handoff') {
    test.each(states)('connections that the supervisor marks (%s)', async (state) => {
      const server = await startEcho(peer);
      await peer.tell(`${state} api`);
      passed(await (await peer.program('web', 'marks', ['api', server.port], 'trap')).ended);
      await peer.tell('unready api');
      await peer.tell('auto api');
      await server.guest.stop();
    });

    // Which calls those are, the first shows.
    test.each([
      ['native', 'with a handler that the guest has asked for'],
      ['ours', "with the supervisor's signal, which guests do not see"],
      ['another', 'with that, and then a signal of the guest'],
      ['both', 'with both at the same time'],
    ])('calls that wait: %s, %s', async (who) => {
      passed(await (await peer.program('web', 'interrupts', [who, '400'], 'trap')).ended);
    });
  }

  test.each(states)('a port that is accepted from in every way at once, 2,000 connections (%s)', async (state) => {
    const server = await peer.program('api', 'accepts', ['100.64.1.2', '5999'], 'trap');
    await server.line('listening');
    await peer.tell(`${state} api`);
    passed(await (await peer.program('web', 'swarm', ['api', '5999', '8', '250'], 'trap')).ended);
    server.process.stdin?.write('end\n');
    const ended = await server.ended;
    passed(ended);
    const ways = ended.stdout.trim().split('\n')[1].split(' ').map(Number);
    expect(ways.reduce((sum, one) => sum + one)).toBe(2000);
    expect(Math.min(...ways)).toBeGreaterThan(0);
    for (const command of ['unready api', 'auto api', 'unlist api 5999']) await peer.tell(command);
  });

  test("a signal at the parent's death, though the sandbox refuses it", async () => {
    passed(await (await peer.program('web', 'pdeathsig', [], 'trap')).ended);
  });

  test('listeners', async () => {
    passed(await (await peer.program('db', 'ports', ['100.64.1.3'], 'trap')).ended);
  });

  test('calls on sockets made by number', async () => {
    passed(await (await peer.program('db', 'numbered', ['100.64.1.3'], 'trap')).ended);
    passed(await peer.native([await buildProgram('numbered'), '127.0.0.1']).ended);
  });

  describe('datagrams', () => {
    test('are as natively, within a host and with the world', async () => {
      passed(await (await peer.program('db', 'datagrams', ['100.64.1.3'], 'trap')).ended);
      const interfaces = Object.values(networkInterfaces()).flat();
      const own = interfaces.find((i) => i?.family === 'IPv4' && !i.internal)?.address;
      // Without an address but 127.0.0.1 there is nothing to compare with.
      if (own) passed(await peer.native([await buildProgram('datagrams'), own]).ended);
    });
    test('to a host that is not up block nobody and are not lost', async () => {
      await peer.tell('ask api');
      await peer.tell('hold api');
      const server = await peer.program('api', 'datagrams', ['serve', '533'], 'trap');
      await server.line('listening');
      const guest = await peer.program('web', 'datagrams', ['100.64.1.1', 'api', '533'], 'trap');
      await guest.line('pending');
      await peer.tell('auto api');
      await peer.tell('go api');
      passed(await guest.ended);
      await server.stop();
    });
  });

  test('IPv6 sockets', async () => {
    const server = await startEcho(peer);
    passed(await (await peer.program('web', 'sixes', ['api', server.port, '100.64.1.1'], 'trap')).ended);
    await server.guest.stop();
  });

  test('whatever the table says, no program dies of it', async () => {
    const table = join(peer.folder, 'web', 'table');
    passed(await (await peer.program('web', 'corrupt', [table, '1', '300'], 'trap')).ended);
  });

  test('a table that is being written by somebody who was preempted is waited for', async () => {
    const table = join(peer.folder, 'web', 'table');
    passed(await (await peer.program('web', 'slow_writer', [table], 'trap')).ended);
  });

  test('io_uring is declined', async () => {
    passed(await (await peer.program('web', 'uring', [], 'trap')).ended);
  });

  test('programs that a guest starts stay guests', async () => {
    passed(await (await peer.program('web', 'starts', ['web'], 'trap')).ended);
  });
});
