/**
 * Without descriptors nobody can look after guests: what cannot be read is not taken for gone, and the supervisor goes
 * on.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { bootCluster } from '../../seed/cluster';
import { layersFolder, openSandbox } from '../sandbox';

jest.setTimeout(60_000);

const ROOT = resolve(__dirname, '../../../..');
/** Opens all descriptors that there are but one, which another thread takes and gives back all the time, and looks. */
const LOOKER = `
import { closeSync, openSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { socketInodes, trackGuests } from '${ROOT}/src/runtime/supervisor/guest/processes';
const pid = Number(process.argv[2]);
const guests = trackGuests({ mapped: '/nothing' });
guests.add(pid);
const look = () => {
  try {
    const listed = guests.list().some((guest) => guest.pid === pid);
    return listed && socketInodes(pid).length === 1 ? 'there' : 'gone';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
};
const first = look();
const taker = new Worker(
  "const { closeSync, openSync } = require('node:fs');" +
    "const { parentPort } = require('node:worker_threads');" +
    "const pause = () => { const end = performance.now() + Math.random() / 20; while (performance.now() < end); };" +
    "parentPort.once('message', () => {" +
    "  for (;; pause()) try { const fd = openSync('/dev/null', 'r'); pause(); closeSync(fd); } catch {}" +
    "});" +
    "parentPort.postMessage('');",
  { eval: true },
);
taker.once('message', () => {
  const held: number[] = [];
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch {}
  const looks = [look()];
  closeSync(held.pop()!);
  taker.postMessage('');
  const limit = performance.now() + 20_000;
  for (let missed = 0; missed < 500 && performance.now() < limit; ) {
    looks.push(look());
    if (looks.at(-1) === 'EMFILE') missed++;
  }
  for (const fd of held) closeSync(fd);
  void taker.terminate().then(() => console.log(JSON.stringify([first, [...new Set(looks)], look()])));
});
`;

test('guests are never taken for gone for want of descriptors, and are there when there are some again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-exhausted-'));
  const guest = spawn('sleep', ['60'], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    const outfile = join(folder, 'looker.js');
    buildSync({
      stdin: { contents: LOOKER, loader: 'ts', resolveDir: ROOT },
      ...{ outfile, bundle: true, platform: 'node', format: 'cjs' },
    });
    const script = `ulimit -n 64; exec "$0" "$1" ${guest.pid}`;
    const [first, looks, last] = JSON.parse(
      execFileSync('sh', ['-c', script, process.execPath, outfile], { encoding: 'utf8' }),
    );
    expect([first, last]).toEqual(['there', 'there']);
    expect(looks).toContain('EMFILE');
    expect(looks).not.toContain('gone');
  } finally {
    guest.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
});

/** Its only guest rests: a look that sees nothing would end the invocation. */
test('a supervisor that has no descriptor for a while keeps its guest, and suspends it when it has some again', async () => {
  const flat = 93;
  const layers = layersFolder();
  const host = { name: 'web', workingDirectory: '/', idleTimeout: 1_000 };
  const command = ['/usr/bin/python3', '-m', 'http.server', '8080'];
  const cluster = await bootCluster([{ ...host, command }], { flat });
  const sandbox = await openSandbox({ layers: layers.path, flat });
  const limit = (most: number) => execFileSync('prlimit', ['--pid', String(sandbox.pid), `--nofile=${most}:`]);
  const failures = () => sandbox.log.filter(({ message }) => message?.startsWith('a look at the guests failed here'));
  try {
    cluster.host('web', (invocation) => sandbox.invoke(invocation));
    const { location } = await (await cluster.client()).locate('web', 8080);
    limit(8);
    // The same fault is logged once in a second.
    for (const seen of [1, 2, 3, 4]) await sandbox.logged(() => failures().length >= seen);
    expect(failures()[0].message).toContain('EMFILE');
    expect(cluster.events.map(({ event }) => event)).not.toContain('suspended');
    limit(1_024);
    await cluster.event('web', 'suspended');
    const again = await (await cluster.client()).locate('web', 8080);
    expect(again.location.epoch).toBe(location.epoch);
    expect(cluster.events.filter(({ event }) => event === 'guest-started')).toHaveLength(1);
  } finally {
    sandbox.close();
    await cluster.close();
    layers.remove();
  }
});
