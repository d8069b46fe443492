/**
 * The arm64 build on another machine, where qemu and Debian's arm64 libc are installed: lookups, listeners and
 * connects that wait. qemu passes no SO_COOKIE on, so what is remembered by cookie is not tested here.
 */
import { existsSync } from 'node:fs';
import { buildProgram, type Peer, passed, startEcho, startPeer } from './harness';

jest.setTimeout(120_000);

const QEMU = '/usr/bin/qemu-aarch64-static';
const LIBRARIES = '/usr/aarch64-linux-gnu';
const arm64 = process.arch === 'x64' && existsSync(QEMU) && existsSync(`${LIBRARIES}/lib/libc.so.6`) ? test : test.skip;

let peer: Peer;

async function run(program: string, ...args: string[]) {
  const { LD_PRELOAD, IMAGINARY_DIR } = peer.env('web', 'arm64');
  const shim = ['-E', `LD_PRELOAD=${LD_PRELOAD}`, '-E', `IMAGINARY_DIR=${IMAGINARY_DIR}`];
  return peer.native([QEMU, '-L', LIBRARIES, ...shim, await buildProgram(program, 'arm64'), ...args]).ended;
}

arm64('the arm64 build under qemu', async () => {
  peer = await startPeer(242, ['plain', 'arm64']);
  try {
    const { port } = await startEcho(peer);
    passed(await run('names'));
    passed(await run('blocking', 'api', port, '0'));
    await peer.tell('ask api');
    passed(await run('blocking', 'api', port, '0'));
    passed(await run('waits', 'api', port));
  } finally {
    await peer.close();
  }
});

arm64("calls that wait, and the supervisor's signal, under qemu", async () => {
  peer = await startPeer(242, ['plain', 'arm64'], 'handoff');
  try {
    // What the kernel says is left of their time, qemu does not.
    const without = ['select', '__select', 'numbered_pselect6', 'numbered_ppoll'];
    for (const who of ['ours', 'another']) passed(await run('interrupts', who, '1500', ...without));
  } finally {
    await peer.close();
  }
});
