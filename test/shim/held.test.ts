/**
 * A datagram to a host that is not up is what the guest has sent, whatever the guest does to its socket before the host
 * is up: natively the server does not look at its datagrams until then.
 */
import { buildProgram, type Guest, HOSTS, type Network, type Peer, startPeer } from './harness';

jest.setTimeout(120_000);

const ACTIONS = ['none', 'wr', 'rd', 'rdwr', 'elsewhere', 'disconnect', 'options', 'control', 'close', 'dup', 'exit'];

/** What the client says and what the server says, and whether the port was the client's. */
async function talk(client: Guest, server: Guest, action: string, release: () => Promise<void>) {
  const port = (await client.line('port ')).slice('port '.length);
  await (action === 'exit' ? client.ended : client.line('acted'));
  await release();
  server.process.stdin?.write('go\n');
  const [from, ...got] = (await server.line('')).split(' ');
  client.process.stdin?.write('go\n');
  const { stdout, ...result } = await client.ended;
  return { ...result, said: stdout.replace(/^port .*$/m, 'port'), got: got.join(' '), own: from === port };
}

describe.each<[Network, number]>([
  ['flat', 16],
  ['handoff', 18],
])('network %s', (network, flat) => {
  let peer: Peer;
  let here: Guest;
  let there: Guest;
  const port = '7533';

  beforeAll(async () => {
    peer = await startPeer(flat, ['plain'], network);
    here = peer.native([await buildProgram('held'), 'serve', String(7533 + flat)]);
    there = await peer.program('api', 'held', ['serve', port]);
    await Promise.all([here.line('listening'), there.line('listening')]);
  });
  afterAll(() => peer?.close());

  test.each([...ACTIONS, ...ACTIONS.map((action) => `${action} connected`)])('%s', async (which) => {
    const [action, ...connected] = which.split(' ');
    const alone = peer.native([await buildProgram('held'), action, '127.0.0.1', String(7533 + flat), ...connected]);
    const native = await talk(alone, here, action, async () => undefined);
    expect(native).toMatchObject({ code: 0, stderr: '', own: true });
    await peer.tell('ask api');
    await peer.tell('hold api');
    const guest = await peer.program('web', 'held', [action, HOSTS.api, port, ...connected]);
    const release = async () => {
      await peer.tell('auto api');
      await peer.tell('go api');
    };
    expect(await talk(guest, there, action, release)).toEqual(native);
  });
});
