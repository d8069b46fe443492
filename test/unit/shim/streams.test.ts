/** TCP clients that come to a connection by other ways than a plain connect, or with nothing to spare. */
import { buildProgram, type Guest, type Network, type Peer, passed, startEcho, startPeer } from './harness';

jest.setTimeout(120_000);

const NETWORKS: readonly [Network, number][] = [
  ['flat', 222],
  ['carried', 220],
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

  const states = network === 'carried' ? ['ask', 'direct', 'ready'] : ['ask', 'direct'];

  /** Natively and under the shim, to a host in each state that it may be in. */
  describe.each([['MSG_FASTOPEN', 'fast_open', []]] as const)('%s', (_, name, more) => {
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
});
