/** TCP clients that come to a connection by other ways than a plain connect, or with nothing to spare. */
import {
  buildProgram,
  buildWithPlugin,
  type Guest,
  type Network,
  type Peer,
  passed,
  startEcho,
  startPeer,
} from './harness';

jest.setTimeout(120_000);

const NETWORKS: readonly [Network, number][] = [
  ['flat', 24],
  ['handoff', 26],
];

describe.each(NETWORKS)('network %s', (network, flat) => {
  let peer: Peer;
  let server: { port: string; guest: Guest };
  let local: Guest;
  const LOCAL = String(5900 + flat - 200);

  beforeAll(async () => {
    peer = await startPeer(flat, ['plain', 'trap'], network);
    server = await startEcho(peer);
    local = peer.native([await buildProgram('echo'), '127.0.0.1', LOCAL]);
    await local.line('listening');
  });
  afterAll(() => peer?.close());

  const states = network === 'handoff' ? ['ask', 'direct', 'ready'] : ['ask', 'direct'];

  /** Natively and under the shim, to a host in each state that it may be in. */
  describe.each([
    ['MSG_FASTOPEN', 'fast_open', []],
    ['no descriptor left', 'few_descriptors', ['block']],
    ['no descriptor left, one after the other', 'few_descriptors', ['turn']],
    ['no descriptor left, all at once', 'few_descriptors', ['poll']],
  ] as const)('%s', (_, name, more) => {
    test('natively', async () => {
      passed(await peer.native([await buildProgram(name), '127.0.0.1', LOCAL, ...more]).ended);
    });
    test.each(states)('%s', async (state) => {
      await peer.tell(`${state} api`);
      passed(await (await peer.program('web', name, ['api', server.port, ...more], 'trap')).ended);
      await peer.tell('unready api');
      await peer.tell('auto api');
    });
  });

  describe('RTLD_DEEPBIND', () => {
    test('natively', async () => {
      const [program, plugin] = await buildWithPlugin('deep');
      passed(await peer.native([program, '127.0.0.1', LOCAL, plugin]).ended);
    });
    test.each(states)('%s', async (state) => {
      const [program, plugin] = await buildWithPlugin('deep');
      await peer.tell(`${state} api`);
      passed(await peer.run('web', [program, 'api', server.port, plugin], 'trap'));
      await peer.tell('unready api');
      await peer.tell('auto api');
    });
  });

  /** As on Lambda, where the limit can be raised by nobody: then the shim keeps a little of it. */
  describe.each(['block', 'turn', 'poll'])('no descriptor left of a limit that is the greatest (%s)', (way) => {
    test.each(states)('%s', async (state) => {
      await peer.tell(`${state} api`);
      const env = peer.env('web', 'trap');
      const guest = ['env', `LD_PRELOAD=${env.LD_PRELOAD}`, `IMAGINARY_DIR=${env.IMAGINARY_DIR}`];
      const program = [await buildProgram('few_descriptors'), 'api', server.port, way, 'inherited'];
      const limited = ['sh', '-c', 'ulimit -n 120; exec "$@"', 'sh', ...guest, ...program];
      const privileged = process.getuid?.() === 0 ? ['setpriv', '--bounding-set', '-sys_resource'] : [];
      passed(await peer.native([...privileged, ...limited]).ended);
      await peer.tell('unready api');
      await peer.tell('auto api');
    });
  });
});
