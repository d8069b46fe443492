/** The musl build, where musl's loader is installed; and programs of one libc that start programs of the other. */
import { existsSync } from 'node:fs';
import { buildProgram, muslLoader, type Peer, passed, startEcho, startPeer } from './harness';

jest.setTimeout(120_000);

const musl = existsSync(muslLoader) ? describe : describe.skip;

let peer: Peer;
let port: string;

musl('with musl', () => {
  beforeAll(async () => {
    peer = await startPeer(234, ['plain', 'musl']);
    port = (await startEcho(peer)).port;
    await peer.tell('ask api');
  });
  afterAll(() => peer?.close());

  test.each([['many_pending', '100', '2'], ['storm', '1'], ['closes_all'], ['sixes', '100.64.1.1']])(
    '%s',
    async (name, ...more) => {
      passed(await (await peer.program('web', name, ['api', port, ...more], 'musl')).ended);
    },
  );
  test.each(['names', 'names_others'])('%s', async (name) => {
    passed(await (await peer.program('web', name, [], 'musl')).ended);
  });
  test('listeners', async () => {
    passed(await (await peer.program('db', 'ports', ['100.64.1.3'], 'musl')).ended);
  });
  test('datagrams', async () => {
    passed(await (await peer.program('db', 'datagrams', ['100.64.1.3'], 'musl')).ended);
  });
  test('programs that a guest starts stay guests', async () => {
    passed(await (await peer.program('web', 'starts', ['web'], 'musl')).ended);
  });
  test.each(['native', 'ours', 'another', 'both'])('calls that wait: %s', async (who) => {
    const handing = await startPeer(236, ['musl'], 'handoff');
    try {
      passed(await (await handing.program('web', 'interrupts', [who, '400'], 'musl')).ended);
    } finally {
      await handing.close();
    }
  });
  test('a program of one libc starts one of the other', async () => {
    const other = await buildProgram('names', 'musl');
    passed(await peer.run('web', ['/usr/bin/env', '-i', other]));
    passed(await peer.run('web', ['/bin/sh', '-c', `exec ${other}`]));
    const shell = await peer.program('web', 'spawns', ['/bin/sh', '-c', 'test "$(uname -n)" = web'], 'musl');
    passed(await shell.ended);
  });
});
