/** Many connects of every kind by one guest: nothing of them may be left, in the guest or in those it spoke to. */
import { readdirSync } from 'node:fs';
import { eventually } from '../support/eventually';
import { type Guest, type Peer, startEcho, startPeer } from './harness';

const descriptors = (pid: number | undefined) => readdirSync(`/proc/${pid}/fd`).length;

/** The other side learns of a closed connection a moment later. @returns the last look */
async function settles(look: () => number, wanted: number): Promise<number> {
  await eventually(() => look() === wanted).catch(() => undefined);
  return look();
}

/**
 * @returns what the guest said at its end
 * @throws Error when it failed, or when descriptors are left
 */
export async function manyConnects(flat: number, count: number): Promise<string> {
  const peer = await startPeer(flat);
  try {
    const direct = await startEcho(peer, 'api');
    const asked = await startEcho(peer, 'db');
    await peer.tell('ask db');
    return await runConnects(peer, [direct, asked], count);
  } finally {
    await peer.close();
  }
}

async function runConnects(peer: Peer, servers: ReadonlyArray<{ port: string; guest: Guest }>, count: number) {
  const [direct, asked] = servers;
  const pids = [peer.pid, ...servers.map((server) => server.guest.process.pid)];
  const before = pids.map(descriptors);
  const guest = await peer.program('web', 'connects', ['api', direct.port, 'db', asked.port, String(count)]);
  const { code, signal, stdout, stderr } = await guest.ended;
  if (code !== 0 || stderr) throw new Error(`connects ended with ${code ?? signal}: ${stderr}`);
  const { waiting } = await peer.stats();
  if (waiting !== 0) throw new Error(`${waiting} connects wait at the supervisor's side for nobody`);
  for (const [i, pid] of pids.entries()) {
    const after = await settles(() => descriptors(pid), before[i]);
    const who = i === 0 ? "the supervisor's side" : `server ${i}`;
    if (after !== before[i]) throw new Error(`${who} had ${before[i]} descriptors, and has ${after}`);
  }
  return stdout;
}
