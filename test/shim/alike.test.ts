/** What the sections of test/shim/programs/alike.c say, they say natively and under the shim. */
import { buildProgram, type Network, type Peer, startPeer } from './harness';

jest.setTimeout(120_000);

const NETWORKS: readonly [Network, number][] = [
  ['flat', 10],
  ['handoff', 12],
];

describe.each(NETWORKS)('network %s', (network, flat) => {
  let peer: Peer;

  beforeAll(async () => {
    peer = await startPeer(flat, ['plain'], network);
  });
  afterAll(() => peer?.close());

  test.each(['families', 'loopback', 'answers', 'raw', 'raw-with-port', 'pointers'])('%s', async (section) => {
    const native = await peer.native([await buildProgram('alike'), section]).ended;
    expect(native).toMatchObject({ code: 0, stderr: '' });
    expect(native.stdout).toMatch(/.\nend\n$/);
    expect(await (await peer.program('web', 'alike', [section])).ended).toEqual(native);
  });
});
